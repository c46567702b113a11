"""Learning from more subimages than fit into memory, a part of them at a time."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import dask
import numpy as np
import torch
from torch import Generator, Tensor

from hyperspy_rvae.models.blocks import Streamed
from hyperspy_rvae.models.cluster import at_a_task
from hyperspy_rvae.models.steerable.nets import SteerableNetwork
from hyperspy_rvae.models.steerable.training import Draws, Samples, weights


class Stream:
    """Lazy subimages in parts, in an order that is drawn anew in each pass.

    A part is as many blocks, from anywhere, as the buffer holds, and at least one. While one is
    learned from, the next is computed in another thread.

    Parameters
    ----------
    streamed
        Subimages, and how many of them are in memory at once; as many again are on their way.
    prepare
        Makes of computed subimages what the network sees, shape ``(n, p)``.
    """

    def __init__(self, streamed: Streamed, prepare: Callable[[np.ndarray], Tensor]) -> None:
        self.X, self.rows, self.buffer = streamed.X, streamed.rows, streamed.buffer
        self.context, self.prepare = torch.from_numpy(streamed.context), prepare
        self.ends = np.cumsum((0, *self.X.chunks[0]))
        self.left_out = np.empty(0, dtype=np.int64)
        self.queue: list[int] = []
        self.blocks: list[int] = []
        self.coming: list[int] = []
        self.loading: Future[tuple[Tensor, Tensor]] | None = None
        self.thread = ThreadPoolExecutor(1)
        self.scheduler = "synchronous" if at_a_task() else None  # tasks would wait for this one

    def __len__(self) -> int:
        return len(self.X) - len(self.left_out)

    def samples(self, network: SteerableNetwork, held_out: Tensor) -> StreamedSamples:
        """Give all subimages to learn from, without those of the sample that are held out."""
        self.left_out = np.sort(self.rows[held_out.numpy(force=True)])
        return StreamedSamples(network, self)

    def next(self, generator: Generator) -> tuple[Tensor, Tensor]:
        """Ascending row numbers of the next part, and what the network sees of them."""
        loading = self.loading or self._ask(generator)
        found, self.blocks = loading.result(), self.coming
        self._ask(generator)
        return found

    def close(self) -> None:
        """Let go of what is on its way."""
        self.thread.shutdown(wait=True, cancel_futures=True)

    def state_dict(self) -> dict[str, Any]:
        """Give all that changes from part to part."""
        return {"queue": self.queue, "blocks": self.blocks, "coming": self.coming}

    def load_state_dict(self, state_dict: dict[str, Any]) -> tuple[Tensor, Tensor] | None:
        """Take what `state_dict` gave, and give the part that was there then, if one was."""
        self.queue, self.blocks, self.coming = (
            list(map(int, state_dict[name])) for name in ("queue", "blocks", "coming")
        )
        if not self.blocks:
            return None
        self.loading = self.thread.submit(self._load, self.coming)
        return self._load(self.blocks)

    def _ask(self, generator: Generator) -> Future[tuple[Tensor, Tensor]]:
        if not self.queue:
            self.queue = torch.randperm(len(self.ends) - 1, generator=generator).tolist()
        blocks, count = [self.queue.pop()], 0
        while self.queue:
            count += int(self.ends[blocks[-1] + 1] - self.ends[blocks[-1]])
            length = self.ends[self.queue[-1] + 1] - self.ends[self.queue[-1]]
            if count + length > self.buffer:
                break
            blocks.append(self.queue.pop())
        self.coming = sorted(blocks)
        self.loading = self.thread.submit(self._load, self.coming)
        return self.loading

    def _load(self, blocks: list[int]) -> tuple[Tensor, Tensor]:
        parts = [self.X.blocks[block] for block in blocks]
        windows = np.concatenate(dask.compute(*parts, scheduler=self.scheduler))
        rows = np.concatenate([np.arange(*self.ends[block : block + 2]) for block in blocks])
        kept = ~np.isin(rows, self.left_out)
        return torch.from_numpy(rows[kept]), self.prepare(windows[kept])


class StreamedSamples:
    """The part of a stream that is in memory, as coefficients; as :class:`.Samples` by rows."""

    part: Samples

    def __init__(self, network: SteerableNetwork, stream: Stream) -> None:
        self.network, self.stream = network, stream
        device = network.noise_variance.device
        self.square = torch.zeros(int(stream.ends[-1]), network.channels, device=device)
        self.context = stream.context.to(device)
        self.rows = torch.empty(0, dtype=torch.long)

    def __len__(self) -> int:
        return len(self.stream)

    def refill(self, generator: Generator) -> None:
        """Let the next part take the place of this one."""
        self.put(*self.stream.next(generator))

    def put(self, rows: Tensor, pixels: Tensor) -> None:
        """Let pixels ``(n, p)`` of ascending rows be the part in memory."""
        device = self.square.device
        context = self.context[rows.to(device)]
        self.rows, self.part = rows, Samples(self.network, pixels.to(device), context)
        self.square[rows.to(device)] = self.part.square

    def coefficients(self, rows: Tensor, cells: Tensor | None = None) -> Tensor:
        """Coefficients of some rows of the part, as those of :class:`.Samples`."""
        return self.part.coefficients(self._places(rows), cells)

    def at(self, rows: Tensor, place: Tensor) -> Tensor:
        """Coefficients ``(n, 2 D)`` of some rows of the part, each about one shift."""
        return self.part.at(self._places(rows), place)

    def draws(self, batch: int, generator: Generator) -> Draws:
        """Draw rows of the part, and ask for the next when all were drawn."""
        return StreamedDraws(self, batch, generator)

    def _places(self, rows: Tensor) -> Tensor:
        return torch.searchsorted(self.rows.to(rows.device), rows)


class StreamedDraws(Draws):
    """Which subimages of the part in memory come next; what is known of all of them is kept."""

    def __init__(self, samples: StreamedSamples, batch: int, generator: Generator) -> None:
        super().__init__(len(samples.square), batch, generator)
        self.samples = samples
        self.weight = torch.empty(0)

    def next(self) -> Tensor:
        """Rows of a batch, those in turn first."""
        even = min(self.even, len(self.order))
        if not even or self.place + even > len(self.order):
            self.samples.refill(self.generator)
            rows = self.samples.rows
            self.order = rows[torch.randperm(len(rows), generator=self.generator)]
            self.place = 0
            self._weigh_part()
        rows = self.order[self.place : self.place + self.even]
        self.place += self.even
        hard = torch.multinomial(self.weight, self.hard, True, generator=self.generator)
        return torch.cat([rows, self.samples.rows[hard]])

    def state_dict(self) -> dict[str, Any]:
        """Give all that changes from batch to batch."""
        return {**super().state_dict(), "stream": self.samples.stream.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take what `state_dict` gave, and compute the part that was in memory then."""
        super().load_state_dict(state_dict)
        part = self.samples.stream.load_state_dict(state_dict["stream"])
        if part is not None:
            self.samples.put(*part)

    def _weigh_part(self) -> None:
        rows = self.samples.rows
        self.weight = torch.ones(len(rows))
        if self.seen[rows].float().mean() > 0.5:
            self.weight = weights(self.misfit[rows])
