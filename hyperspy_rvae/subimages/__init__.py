"""What is around atoms: windows cut from images, in memory and lazily."""
