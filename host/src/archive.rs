//! Tar archives of plain files, as every `tar` reads them (POSIX ustar): read and written piece by
//! piece, whatever the size of what is in them.
//! Does not know folders, links or owners, and not what the files are about.

use std::io::{self, Read, Write};

/// Archives are made of blocks of so many bytes.
const BLOCK: u64 = 512;
/// The most bytes a file's size may say: eleven octal digits.
const LARGEST: u64 = 0o77_777_777_777;
/// The longest name.
const LONGEST_NAME: usize = 100;

/// An archive that is written.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
}

impl<W: Write> Writer<W> {
    /// An archive that goes there.
    pub fn new(out: W) -> Self {
        Self { out }
    }

    /// Writes a file of exactly `size` bytes.
    ///
    /// # Errors
    /// `content` has fewer bytes or cannot be read, or the archive cannot be written.
    pub fn file(&mut self, name: &str, size: u64, content: &mut impl Read) -> io::Result<()> {
        self.out.write_all(&header(name, size)?)?;
        let n_copied = io::copy(&mut content.take(size), &mut self.out)?;
        if n_copied < size {
            let why = format!("{name} has {n_copied} bytes and not {size}");
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, why));
        }
        zeros(&mut self.out, padding(size))
    }

    /// Ends the archive.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn end(mut self) -> io::Result<W> {
        zeros(&mut self.out, 2 * BLOCK)?;
        self.out.flush()?;
        Ok(self.out)
    }
}

/// How many bytes an archive of files of these sizes has.
pub fn length(sizes: impl IntoIterator<Item = u64>) -> u64 {
    let file = |size: u64| BLOCK.saturating_add(size).saturating_add(padding(size));
    sizes.into_iter().map(file).fold(2 * BLOCK, u64::saturating_add)
}

/// An archive that is read. Reads as the file that [`Reader::next_file`] told last.
#[derive(Debug)]
pub struct Reader<R> {
    input: R,
    left: u64,
    padding: u64,
}

impl<R: Read> Reader<R> {
    /// An archive that comes from there.
    pub fn new(input: R) -> Self {
        Self { input, left: 0, padding: 0 }
    }

    /// The name and the size of the next file; `None` at the end of the archive. What was not read of
    /// the one before is passed over.
    ///
    /// # Errors
    /// The archive ends too early, is damaged, or holds something else than files.
    pub fn next_file(&mut self) -> io::Result<Option<(String, u64)>> {
        let rest = self.left.saturating_add(self.padding);
        let n_passed = io::copy(&mut (&mut self.input).take(rest), &mut io::sink())?;
        if n_passed < rest {
            return Err(cut_off());
        }
        let mut block = [0; BLOCK as usize];
        self.input.read_exact(&mut block).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => cut_off(),
            _ => error,
        })?;
        if block.iter().all(|byte| *byte == 0) {
            (self.left, self.padding) = (0, 0);
            return Ok(None);
        }
        let (name, size) = parse(&block).ok_or_else(|| damaged("a header makes no sense"))?;
        (self.left, self.padding) = (size, padding(size));
        Ok(Some((name, size)))
    }
}

impl<R: Read> Read for Reader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n_read = (&mut self.input).take(self.left).read(buffer)?;
        if n_read == 0 && self.left > 0 && !buffer.is_empty() {
            return Err(cut_off());
        }
        self.left -= n_read as u64;
        Ok(n_read)
    }
}

fn cut_off() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "it ends too early")
}

fn damaged(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.to_owned())
}

fn padding(size: u64) -> u64 {
    size.next_multiple_of(BLOCK) - size
}

fn zeros(out: &mut impl Write, n_bytes: u64) -> io::Result<()> {
    io::copy(&mut io::repeat(0).take(n_bytes), out).map(drop)
}

fn header(name: &str, size: u64) -> io::Result<Vec<u8>> {
    if name.len() > LONGEST_NAME || size > LARGEST {
        let why = format!("{name:?} of {size} bytes does not fit into an archive");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    }
    // The sum is of a header whose own sum is blank.
    let sum = sum(&block(name, size, "        "));
    Ok(block(name, size, &format!("{sum:06o}\0 ")))
}

/// A header: each field with its width.
fn block(name: &str, size: u64, sum: &str) -> Vec<u8> {
    let (size, mut block) = (format!("{size:011o}"), Vec::new());
    let fields = [
        (name, LONGEST_NAME),
        ("0000600", 8), // who may do what
        ("0000000", 8), // owner
        ("0000000", 8), // group
        (&size, 12),
        ("00000000000", 12), // when it was changed
        (sum, 8),
        ("0", 1),           // a plain file
        ("", 100),          // where a link leads
        ("ustar\x0000", 8), // the format and its version
        ("", 247),          // names of owner and group, devices, a prefix
    ];
    for (text, width) in fields {
        let end = block.len() + width;
        block.extend_from_slice(text.as_bytes());
        block.resize(end, 0);
    }
    block
}

fn sum(block: &[u8]) -> u32 {
    block.iter().map(|byte| u32::from(*byte)).sum()
}

/// The name and the size that a header says, if it is one of a plain file.
fn parse(block: &[u8]) -> Option<(String, u64)> {
    let text = |range| {
        let field: &[u8] = block.get(range)?;
        let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
        std::str::from_utf8(field.get(..end)?).ok()
    };
    let octal = |range| u64::from_str_radix(text(range)?.trim(), 8).ok();
    let (name, size, told) = (text(0..100)?, octal(124..136)?, octal(148..156)?);
    let rest = block.get(..148)?.iter().chain(block.get(156..)?);
    let found: u64 = rest.map(|byte| u64::from(*byte)).sum::<u64>() + 8 * u64::from(b' ');
    let is_file = matches!(block.get(156)?, b'0' | 0);
    (told == found && is_file).then(|| (name.to_owned(), size))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILES: [(&str, &[u8]); 4] =
        [("a.json", b"{}"), ("empty", b""), ("blobs/one", &[7; 512]), ("blobs/two", &[9; 513])];

    fn archive() -> Vec<u8> {
        let mut writer = Writer::new(Vec::new());
        for (name, mut content) in FILES {
            writer.file(name, content.len() as u64, &mut content).unwrap();
        }
        writer.end().unwrap()
    }

    fn read(mut archive: &[u8], whole: bool) -> io::Result<Vec<(String, Vec<u8>)>> {
        let (mut reader, mut files) = (Reader::new(&mut archive), Vec::new());
        while let Some((name, _)) = reader.next_file()? {
            let mut content = Vec::new();
            if whole {
                reader.read_to_end(&mut content)?;
            }
            files.push((name, content));
        }
        Ok(files)
    }

    #[test]
    fn what_was_written_is_read_whole_or_passed_over() {
        let archive = archive();
        assert_eq!(archive.len() as u64, length(FILES.map(|(_, file)| file.len() as u64)));
        let expected = FILES.map(|(name, content)| (name.to_owned(), content.to_owned()));
        assert_eq!(read(&archive, true).unwrap(), expected);
        let names: Vec<_> =
            read(&archive, false).unwrap().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, FILES.map(|(name, _)| name));
    }

    #[test]
    fn what_is_cut_off_or_damaged_is_found_out() {
        let archive = archive();
        for length in [0, 1, 511, 512, 513, 1024, 2000, archive.len() - 1024] {
            for whole in [true, false] {
                let error = read(&archive[..length], whole).unwrap_err();
                assert_eq!(error.to_string(), "it ends too early", "{length}");
            }
        }
        for place in [0, 100, 124, 130, 148, 156, 257, 500] {
            let mut changed = archive.clone();
            changed[place] ^= 1;
            let error = read(&changed, true).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{place}: {error}");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let mut writer = Writer::new(io::sink());
        let long = "x".repeat(101);
        for (name, size) in [(long.as_str(), 0), ("large", LARGEST + 1), ("short", 1)] {
            assert!(writer.file(name, size, &mut io::empty()).is_err(), "{name}");
        }
    }
}
