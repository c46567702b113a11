"""How it is seen: functions that take arrays and an axis, and give the axis back."""
