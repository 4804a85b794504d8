//! In which line of a file a record stands.

use std::io::{Read, Result};

const MARK: &[u8] = b"\xef\xbb\xbf";
/// Bytes are let go by so many.
const MOST: usize = 1 << 16;

/// A source that knows what was read of it since the last record. csv's own count is of the line in which it stood before
/// it skipped empty lines, comments and, of a line's end of two bytes, the second.
pub struct Lines<R> {
    source: R,
    comment: Option<u8>,
    bytes: Vec<u8>,
    /// Where the bytes are in the source.
    first: u64,
    /// The bytes before have been counted.
    at: usize,
    line: u64,
}

impl<R> Lines<R> {
    pub fn new(source: R, comment: Option<u8>) -> Self {
        Self {
            source,
            comment,
            bytes: Vec::new(),
            first: 0,
            at: 0,
            line: 1,
        }
    }

    /// The line, from 1, of the record that csv has begun to look for at this byte; records are asked for in their order.
    pub fn line_of(&mut self, byte: u64) -> u64 {
        let mut start = (byte - self.first) as usize;
        if byte == 0 && self.bytes.starts_with(MARK) {
            start = MARK.len();
        }
        while let Some(&of) = self.bytes.get(start) {
            start += match of {
                b'\r' | b'\n' => 1,
                of if Some(of) == self.comment => {
                    let rest = self.bytes[start..].iter();
                    rest.take_while(|of| **of != b'\n').count()
                }
                _ => break,
            };
        }
        while self.at < start {
            let is_end = match self.bytes[self.at] {
                b'\n' => true,
                b'\r' => self.bytes.get(self.at + 1) != Some(&b'\n'),
                _ => false,
            };
            self.line += u64::from(is_end);
            self.at += 1;
        }
        if self.at >= MOST {
            self.bytes.drain(..self.at);
            self.first += self.at as u64;
            self.at = 0;
        }
        self.line
    }
}

impl<R: Read> Read for Lines<R> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let count = self.source.read(buffer)?;
        self.bytes.extend_from_slice(&buffer[..count]);
        Ok(count)
    }
}
