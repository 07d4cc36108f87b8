//! A file of a spreadsheet, cut into lines of cells, whichever program wrote it.
//! Understands no cell: that is for `core::sheet`.

use std::io::Read as _;
use std::path::Path;

use anyhow::Context as _;
use steerage_core::sheet::{self, Line};

use crate::cli::ending::Refused;

/// The largest file that is read: some hundred thousand rows.
const LARGEST: u64 = 64 << 20;
/// What may stand between cells, the likeliest last.
const SEPARATORS: [u8; 4] = *b"|\t;,";
/// How many lines are looked at to find the separator.
const SAMPLE: usize = 30;

/// A file in cells.
#[derive(Debug)]
pub(super) struct File {
    pub(super) lines: Vec<Line>,
    pub(super) separator: char,
    /// Whether its letters had to be guessed.
    pub(super) is_old: bool,
}

/// Reads a file, or stdin for `-`.
pub(super) fn read(path: &Path) -> anyhow::Result<File> {
    let name = path.display();
    let bytes = bytes(path).with_context(|| format!("cannot read {name}"))?;
    if let Some(what) = other_format(&bytes) {
        let message = format!(
            "{name} is {what}: open it in your spreadsheet program, save it as CSV (UTF-8), and plan \
             with that file"
        );
        return Err(Refused(message).into());
    }
    let (text, is_old) = decoded(&bytes);
    if text.contains('\0') {
        return Err(Refused(format!("{name} is not a text file")).into());
    }
    cut(&text, is_old).with_context(|| format!("cannot read {name}"))
}

fn bytes(path: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if path.as_os_str() == "-" {
        std::io::stdin().lock().take(LARGEST + 1).read_to_end(&mut bytes)?;
    } else {
        std::fs::File::open(path)?.take(LARGEST + 1).read_to_end(&mut bytes)?;
    }
    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    anyhow::ensure!(length <= LARGEST, "it is larger than {} MiB, the most", LARGEST >> 20);
    Ok(bytes)
}

fn other_format(bytes: &[u8]) -> Option<&'static str> {
    let formats: [(&[u8], &str); 4] = [
        (b"PK\x03\x04", "a workbook (.xlsx or .ods)"),
        (b"\xd0\xcf\x11\xe0", "an old workbook (.xls)"),
        (b"%PDF", "a PDF"),
        (b"<", "HTML or XML"),
    ];
    formats.iter().find(|(start, _)| bytes.starts_with(start)).map(|(_, what)| *what)
}

/// The text of a file in UTF-8, UTF-16 as spreadsheet programs call Unicode, or else in Latin-1.
fn decoded(bytes: &[u8]) -> (String, bool) {
    let units = |from: fn([u8; 2]) -> u16| {
        let (pairs, _) = bytes.get(2..).unwrap_or_default().as_chunks::<2>();
        let units: Vec<u16> = pairs.iter().map(|pair| from(*pair)).collect();
        (String::from_utf16_lossy(&units), false)
    };
    match bytes {
        [0xff, 0xfe, ..] => units(u16::from_le_bytes),
        [0xfe, 0xff, ..] => units(u16::from_be_bytes),
        _ => match std::str::from_utf8(bytes) {
            Ok(text) => (text.trim_start_matches('\u{feff}').to_owned(), false),
            Err(_) => (bytes.iter().map(|byte| char::from(*byte)).collect(), true),
        },
    }
}

fn cut(text: &str, is_old: bool) -> anyhow::Result<File> {
    // Excel's own way of naming the separator.
    let named = text.strip_prefix("sep=").and_then(|rest| rest.as_bytes().first().copied());
    let separator = match named {
        Some(separator) => separator,
        None => likeliest(text)?,
    };
    let mut lines = cells(text, separator, usize::MAX)?;
    if named.is_some() {
        lines.drain(..1.min(lines.len()));
    }
    Ok(File { lines, separator: separator.into(), is_old })
}

/// The separator that makes most headings of a line, and else most cells.
fn likeliest(text: &str) -> anyhow::Result<u8> {
    let mut best = (0, 0, b',');
    for separator in SEPARATORS {
        let lines = cells(text, separator, SAMPLE)?;
        let n_headings = lines.iter().map(|line| sheet::n_headings(&line.cells)).max();
        let n_cells = lines.iter().map(|line| line.cells.len()).max();
        best = best.max((n_headings.unwrap_or(0), n_cells.unwrap_or(0), separator));
    }
    Ok(best.2)
}

fn cells(text: &str, separator: u8, most: usize) -> anyhow::Result<Vec<Line>> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(separator)
        .from_reader(text.as_bytes());
    let mut lines = Vec::new();
    // A cell may go over several lines of the file, and is still in one row.
    let mut n_inside = 0;
    for record in reader.records().take(most) {
        let record = record.context("it is not a table of cells")?;
        let position = record.position();
        let from = position.and_then(|at| usize::try_from(at.byte()).ok()).unwrap_or(0);
        // The position is that of the empty lines before, which are rows nevertheless.
        let before = text.as_bytes().get(from..).unwrap_or_default();
        let empty = before.iter().take_while(|byte| matches!(byte, b'\n' | b'\r'));
        let n_empty = count(empty.filter(|byte| **byte == b'\n'));
        let number = position.map_or(0, csv::Position::line) + n_empty - n_inside;
        n_inside += count(record.iter().flat_map(str::bytes).filter(|byte| *byte == b'\n'));
        lines.push(Line { number, cells: record.iter().map(str::to_owned).collect() });
    }
    Ok(lines)
}

fn count<T>(of: impl Iterator<Item = T>) -> u64 {
    u64::try_from(of.count()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> (char, Vec<(u64, String)>) {
        let file = cut(text, false).unwrap();
        let lines = file.lines.iter().map(|line| (line.number, line.cells.join("|"))).collect();
        (file.separator, lines)
    }

    #[test]
    fn the_separator_is_found() {
        for (text, separator) in [
            ("app,cpu,memory\na,1,2", ','),
            ("app;cpu;memory\na;0,5;1,5", ';'),
            ("app\tcpu\tmemory\na, b\t1\t2", '\t'),
            ("Fleet, as of May, 2026\napp;cpu;memory\na;0,5;1,5", ';'),
            ("sep=|\napp|cpu|memory", '|'),
        ] {
            assert_eq!(shown(text).0, separator, "{text}");
        }
    }

    #[test]
    fn rows_have_the_numbers_that_programs_show() {
        let text = "\"app\",\"memory\r\n(MiB)\",cpu\r\n\r\n\"a \"\"b\"\"\",1,2\r\n,,\r\nc,1,2";
        let (_, lines) = shown(text);
        let expected =
            [(1, "app|memory\r\n(MiB)|cpu"), (3, "a \"b\"|1|2"), (4, "||"), (5, "c|1|2")];
        assert_eq!(lines, expected.map(|(number, cells)| (number, cells.to_owned())));
    }

    #[test]
    fn letters_are_those_of_the_program_that_wrote_them() {
        let utf16: Vec<u8> = "\u{feff}é".encode_utf16().flat_map(u16::to_le_bytes).collect();
        for (bytes, is_old) in [("\u{feff}é".as_bytes(), false), (&utf16, false), (b"\xe9", true)]
        {
            assert_eq!(decoded(bytes), ("é".to_owned(), is_old));
        }
    }
}
