"""An event of a stream, and how each of the two protocols writes it: once for all its readers."""

from dataclasses import dataclass
from functools import cached_property

from wsproto.frame_protocol import FrameProtocol


@dataclass(frozen=True)
class Event:
    """What a stream tells at once.

    Args:
        name: records, none, gone or ended; of a sign of life, which has no data, any word.
        cursor: where to go on; empty where it leads nowhere.
        data: JSON, empty for a sign of life.
    """

    name: str
    cursor: str = ""
    data: bytes = b""

    @cached_property
    def sse(self) -> bytes:
        """As a server-sent event, of which a sign of life is a comment."""
        if not self.data:
            return f": {self.name}\n\n".encode()
        place = f"id: {self.cursor}\n".encode() if self.cursor else b""
        return b"event: %s\n%sdata: %s\n\n" % (self.name.encode(), place, self.data)

    @cached_property
    def frame(self) -> bytes:
        """As a WebSocket's frame of one JSON object, which is the same for every connection; of a
        sign of life nothing, since the protocol has its own.
        """
        if not self.data:
            return b""
        place = f',"id":"{self.cursor}"'.encode() if self.cursor else b""
        text = b'{"event":"%s"%s,"data":%s}' % (self.name.encode(), place, self.data)
        return bytes(FrameProtocol(client=False, extensions=[]).send_data(text.decode(), fin=True))
