"""GPUs by id, and which of its own a job asks to see."""

import pytest

from batchyard.core.model.gpus import NVIDIA, Gpu, gpus_named, selected

PAIR = ("GPU-aaaa1111", "GPU-bbbb2222")
SELECTIONS: dict[str | None, tuple[int, ...]] = {
    None: (0, 1),
    "0": (0,),
    "1,0": (1, 0),
    " 1 ": (1,),
    "": (),
    "-1": (),
    "NoDevFiles": (),
    "0,2,1": (0,),  # the third does not exist, and ends the list
    "GPU-bbbb": (1,),
    "GPU-": (),  # names both
    "GPU-aaaa1111,GPU-cccc": (0,),
    "\u0661": (),  # a digit, and not one of CUDA's
}


@pytest.mark.parametrize("wanted", SELECTIONS)
def test_a_job_selects_among_its_own(wanted: str | None) -> None:
    assert selected(PAIR, wanted) == SELECTIONS[wanted]


def test_a_job_without_gpus_selects_none() -> None:
    assert selected((), "0") == ()
    assert selected((), "GPU-aaaa1111") == ()
    assert selected((), None) == ()


def test_gpus_are_found_by_their_ids() -> None:
    known = (Gpu(0, 0, NVIDIA, PAIR[0]), Gpu(3, 1, NVIDIA, PAIR[1]))
    assert [gpu.name for gpu in gpus_named(known, (3, 0))] == [PAIR[1], PAIR[0]]
    assert [gpu.name for gpu in gpus_named(known, (7,))] == ["7"]
    assert [gpu.name for gpu in gpus_named((), (1, 0))] == ["1", "0"]
