//! Connections of clients that call a Unix socket's path their authority.
//!
//! gRPC's C core, and with it Python, Ruby and PHP, sends `:authority: home%2Fme%2Fbarista.sock` over a Unix socket. HTTP allows no percent
//! signs there, so the HTTP/2 library resets the stream before anybody of us sees it; a program of one's own can set
//! `grpc.default_authority`, but an exporter that is configured by its environment cannot. Nobody here looks at the authority, so what is not
//! allowed in it is overwritten on the way in, byte for byte: the lengths, and with them the frames and the tables of the header compression,
//! stay as the client made them.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::transport::server::Connected;

/// What each connection begins with (RFC 9113, section 3.4).
const PREFACE_BYTES: usize = 24;
/// The header of a frame: three bytes of length, one of type, one of flags, four of the stream.
const FRAME_HEADER_BYTES: usize = 9;
/// The types of frames that hold fields: HEADERS and CONTINUATION.
const FIELD_FRAMES: [u8; 2] = [1, 9];
/// The field as the C core writes it when it is not in the table yet: a literal to be indexed, with a name of 10 plain bytes (RFC 7541,
/// section 6.2.1). The length of the value and the value follow. Fields cannot contain the line feed that is the length here, so nothing else
/// looks so, unless it is compressed and does by accident.
const FIELD: &[u8; 12] = b"\x40\x0a:authority";
/// What overwrites bytes that are not allowed.
const FILLER: u8 = b'-';

/// A connection whose client's authority is made acceptable.
pub(super) struct Lenient<IO> {
    io: IO,
    frames: Frames,
}

impl<IO> Lenient<IO> {
    pub(super) fn new(io: IO) -> Self {
        Self {
            io,
            frames: Frames::default(),
        }
    }
}

/// Follows the frames of a connection, however they are cut into pieces.
#[derive(Debug)]
struct Frames {
    /// Bytes that are nothing to look at: the preface, and what other frames hold.
    skipped: usize,
    header: [u8; FRAME_HEADER_BYTES],
    /// How much of the header has come.
    headed: usize,
    /// How much of a frame with fields is still to come.
    fields: usize,
    search: Search,
}

impl Default for Frames {
    fn default() -> Self {
        Self {
            skipped: PREFACE_BYTES,
            header: [0; FRAME_HEADER_BYTES],
            headed: 0,
            fields: 0,
            search: Search::default(),
        }
    }
}

/// How far the search for the field has come.
#[derive(Debug, Clone, Copy)]
enum Search {
    /// So many bytes of [`FIELD`] have come.
    Field(usize),
    /// The length of the value is more than a byte holds: what is known of it, and by how many bits the next part is shifted.
    Length { known: usize, shift: u32 },
    /// So much of the value is to come. Whether a percent sign was in what has come.
    Value { left: usize, is_path: bool },
}

impl Default for Search {
    fn default() -> Self {
        Self::Field(0)
    }
}

impl Frames {
    /// Looks through the next bytes of the connection.
    fn pass(&mut self, bytes: &mut [u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.skipped > 0 {
                let step = self.skipped.min(rest.len());
                self.skipped -= step;
                rest = &mut rest[step..];
            } else if self.fields > 0 {
                let step = self.fields.min(rest.len());
                let (fields, behind) = rest.split_at_mut(step);
                fields
                    .iter_mut()
                    .for_each(|byte| self.search = self.search.next(byte));
                self.fields -= step;
                rest = behind;
            } else {
                self.header[self.headed] = rest[0];
                self.headed += 1;
                rest = &mut rest[1..];
                if self.headed == FRAME_HEADER_BYTES {
                    self.begin_frame();
                }
            }
        }
    }

    fn begin_frame(&mut self) {
        self.headed = 0;
        let [high, middle, low, kind, ..] = self.header;
        let length = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        if FIELD_FRAMES.contains(&kind) {
            self.fields = length;
        } else {
            self.skipped = length;
        }
    }
}

impl Search {
    /// What follows after `byte`, which is overwritten where it has to be.
    fn next(self, byte: &mut u8) -> Self {
        match self {
            Self::Field(found) if found == FIELD.len() => match *byte & 0x7f {
                // Huffman's code, which the C core does not use here.
                _ if *byte & 0x80 != 0 => Self::default(),
                0 => Self::default(),
                0x7f => Self::Length {
                    known: 0x7f,
                    shift: 0,
                },
                short => Self::value(usize::from(short)),
            },
            Self::Field(found) if *byte == FIELD[found] => Self::Field(found + 1),
            Self::Field(_) => Self::Field(usize::from(*byte == FIELD[0])),
            Self::Length { known, shift } => {
                let known = known + (usize::from(*byte & 0x7f) << shift);
                match *byte & 0x80 {
                    0 => Self::value(known),
                    // More would be a longer field than the server takes.
                    _ if shift >= 14 => Self::default(),
                    _ => Self::Length {
                        known,
                        shift: shift + 7,
                    },
                }
            }
            Self::Value { left, is_path } => {
                let is_path = is_path || *byte == b'%';
                let is_plain = byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
                if is_path && !is_plain {
                    *byte = FILLER;
                }
                match left {
                    1 => Self::default(),
                    _ => Self::Value {
                        left: left - 1,
                        is_path,
                    },
                }
            }
        }
    }

    fn value(length: usize) -> Self {
        Self::Value {
            left: length,
            is_path: false,
        }
    }
}

impl<IO: Connected> Connected for Lenient<IO> {
    type ConnectInfo = IO::ConnectInfo;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.io.connect_info()
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Lenient<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.io).poll_read(context, buffer);
        self.frames.pass(&mut buffer.filled_mut()[before..]);
        polled
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Lenient<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len())
            .expect("a small frame")
            .to_be_bytes();
        let mut frame = length[1..].to_vec();
        frame.extend([kind, 4, 0, 0, 0, 1]);
        frame.extend(payload);
        frame
    }

    fn field(value: &[u8]) -> Vec<u8> {
        let mut field = FIELD.to_vec();
        match u8::try_from(value.len()).expect("a short value") {
            short @ 0..0x7f => field.push(short),
            long => field.extend([0x7f, (long - 0x7f) & 0x7f]),
        }
        field.extend(value);
        field
    }

    /// A connection: its preface, then frames of the kinds with these payloads.
    fn connection(frames: &[(u8, Vec<u8>)]) -> Vec<u8> {
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        frames
            .iter()
            .for_each(|(kind, payload)| bytes.extend(frame(*kind, payload)));
        bytes
    }

    #[test]
    fn a_path_becomes_a_name_and_everything_else_stays_wherever_reads_end() {
        let long = [b"a%2F".as_slice(), &[b'x'; 196]].concat();
        let cleaned = [b"a-2F".as_slice(), &[b'x'; 196]].concat();
        let with = |path: &[u8], long: &[u8]| {
            let other = [field(b"localhost:80"), b"\x40\x01a\x03%2F".to_vec()].concat();
            connection(&[
                (4, vec![0; 6]),
                (
                    1,
                    [b"\x83\x86".to_vec(), field(path), b"%".to_vec()].concat(),
                ),
                (0, field(b"data%2F")),
                (1, other),
                (9, [b"\x40\x40".to_vec(), field(long)].concat()),
                (1, field(b"")),
                (1, field(b"b%2F")),
            ])
        };
        let sent = with(b"tmp%2Fa:b@c.sock", &long);
        let mut expected = with(b"tmp-2Fa-b-c.sock", &cleaned);
        let end = expected.len();
        expected[end - 3] = FILLER;
        for step in [1, 2, 7, 64, sent.len()] {
            let mut bytes = sent.clone();
            let mut frames = Frames::default();
            bytes.chunks_mut(step).for_each(|piece| frames.pass(piece));
            assert_eq!(bytes, expected, "in pieces of {step}");
        }
    }

    #[test]
    fn any_bytes_are_passed_on_with_their_number() {
        let mut bytes: Vec<u8> = (0..10_000_u32)
            .map(|number| (number * 7 % 251) as u8)
            .collect();
        Frames::default().pass(&mut bytes);
        let mut value = [0x7f, 0xff, 0xff, 0xff, 0xff, 0xff];
        let mut search = Search::Field(FIELD.len());
        for byte in &mut value {
            search = search.next(byte);
        }
        assert!(matches!(search, Search::Field(_)));
    }
}
