"""Where frames begin, whatever pieces they come in."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from proxying.wire.frames import Frames, close_frame

FRAMES = st.lists(
    st.tuples(
        st.sampled_from([Opcode.TEXT, Opcode.BINARY, Opcode.CONT, Opcode.PING]),
        st.sampled_from([0, 1, 125, 126, 127, 65_535, 65_536]),
        st.booleans(),
    ),
    max_size=6,
)


def written(opcode: Opcode, size: int, masked: bool) -> bytes:
    # Control frames have at most 125 bytes.
    content = b"\x88" * (min(size, 125) if opcode is Opcode.PING else size)
    return Frame(opcode, content).serialize(mask=masked)


@given(FRAMES, st.lists(st.integers(1, 70_000), max_size=20))
def test_boundaries_are_known_however_the_stream_is_cut(
    frames: list[tuple[Opcode, int, bool]], cuts: list[int]
) -> None:
    whole = [written(*frame) for frame in frames]
    ends = {0}
    for frame in whole:
        ends.add(max(ends) + len(frame))
    stream, position, followed = b"".join(whole), 0, Frames()
    for size in [*cuts, len(stream)]:
        piece = stream[position : position + size]
        position += len(piece)
        followed.feed(piece)
        assert followed.between == (position in ends)
    assert not followed.closing


@given(FRAMES, st.booleans())
def test_a_close_frame_is_noticed_byte_by_byte(
    frames: list[tuple[Opcode, int, bool]], masked: bool
) -> None:
    stream = b"".join(written(*frame) for frame in frames if frame[1] < 1000)
    followed = Frames()
    for byte in stream + close_frame(1000, b"", masked=masked):
        followed.feed(bytes([byte]))
    assert (followed.closing, followed.between) == (True, True)


def test_a_frame_longer_than_memory_is_only_counted() -> None:
    followed = Frames()
    followed.feed(b"\x82\x7f" + b"\xff" * 8)
    followed.feed(b"\x88\x00" * 1000)
    assert (followed.closing, followed.between) == (False, False)


def test_a_masked_close_frame_reads_as_it_was_written() -> None:
    frame = close_frame(1001, b"why", masked=True)
    head, mask, content = frame[:2], frame[2:6], frame[6:]
    assert head == b"\x88\x85"
    assert bytes(byte ^ mask[i % 4] for i, byte in enumerate(content)) == b"\x03\xe9why"
    assert close_frame(1001, b"why", masked=False) == b"\x88\x05\x03\xe9why"
