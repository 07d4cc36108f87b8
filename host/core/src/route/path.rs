//! Path patterns: literals, `:parameters` and a trailing `/...`.
//! Does not choose among patterns: that is the table's part.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::quote::Quoted;

mod dialect;

/// The paths that belong to the host itself.
const RESERVED: &str = "/.well-known/steerage";

/// The most bytes of a pattern: what clients and proxies agree to carry with room to spare.
const LONGEST: usize = 1024;

/// The most segments of a pattern, which bounds how deep a lookup goes.
const MOST_SEGMENTS: usize = 32;

/// The paths that a route answers under.
///
/// `/a/b` is that path, `/a/:id` any one segment in the place of `:id`, and `/a/...` the path
/// `/a` with everything below it. Cloning is cheap: clones share the segments.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PathPattern {
    /// Segments before the trailing `/...`, in order. Parameters' names differ; no literal is
    /// empty, `.` or `..`; together they are not the host's own path.
    segments: Arc<[Segment]>,
    rest: bool,
}

/// One segment of a pattern: what stands between two slashes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Segment {
    /// These bytes.
    Literal(Arc<str>),
    /// Any one segment that is not empty, known to the guest by this name.
    Param(Arc<str>),
}

/// A text that is not a path pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} is not a route's path: {rule}", Quoted(.value))]
pub struct BadPath {
    value: String,
    rule: String,
}

impl PathPattern {
    /// Reads a pattern as a developer wrote it.
    ///
    /// Literal segments hold what a URL's path holds: letters, digits, `-._~!$&'()*+,;=:@` and
    /// escapes such as `%C3%A9` for other bytes, in capitals, as browsers send them.
    ///
    /// # Errors
    ///
    /// Fails with the first rule that the text breaks.
    pub fn parse(text: &str) -> Result<Self, BadPath> {
        read(text).map_err(|rule| BadPath { value: text.to_owned(), rule })
    }

    /// The segments before the trailing `/...`; none for `/` and `/...`.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Whether the pattern ends with `/...`.
    #[must_use]
    pub fn has_rest(&self) -> bool {
        self.rest
    }

    /// The names of the parameters, from left to right.
    pub fn params(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Param(name) => Some(&**name),
            Segment::Literal(_) => None,
        })
    }

    /// The pattern with its parameters' names taken out.
    pub(super) fn shape(&self) -> Self {
        let nameless = |segment: &Segment| match segment {
            Segment::Param(_) => Segment::Param(Arc::from("")),
            Segment::Literal(text) => Segment::Literal(Arc::clone(text)),
        };
        Self { segments: self.segments.iter().map(nameless).collect(), rest: self.rest }
    }
}

impl FromStr for PathPattern {
    type Err = BadPath;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for segment in &*self.segments {
            match segment {
                Segment::Literal(text) => write!(f, "/{text}")?,
                Segment::Param(name) => write!(f, "/:{name}")?,
            }
        }
        match (self.segments.is_empty(), self.rest) {
            (_, true) => f.write_str("/..."),
            (true, false) => f.write_str("/"),
            (false, false) => Ok(()),
        }
    }
}

/// Whether the path is one of the host's own, which no route answers.
#[must_use]
pub fn is_reserved(path: &str) -> bool {
    path.strip_prefix(RESERVED).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn read(text: &str) -> Result<PathPattern, String> {
    if text.is_empty() {
        return Err("it is empty; the root is /".to_owned());
    }
    let Some(below_root) = text.strip_prefix('/') else {
        return Err("it must start with /".to_owned());
    };
    if text.len() > LONGEST {
        return Err(format!("it is longer than {LONGEST} bytes"));
    }
    let (prefix, rest) = match below_root {
        "..." => ("", true),
        path => path.strip_suffix("/...").map_or((path, false), |prefix| (prefix, true)),
    };
    if is_reserved(text) || is_reserved(text.strip_suffix("/...").unwrap_or(text)) {
        return Err(format!("{RESERVED} belongs to the host"));
    }
    let mut segments: Vec<Segment> = Vec::new();
    if !prefix.is_empty() {
        if let Some(meant) = dialect::meant(prefix, rest) {
            return Err(meant);
        }
        for part in prefix.split('/') {
            let segment = read_segment(part)?;
            if matches!(segment, Segment::Param(_)) && segments.contains(&segment) {
                return Err(format!("it has two parameters of the name {part}"));
            }
            segments.push(segment);
        }
    }
    if segments.len() > MOST_SEGMENTS {
        return Err(format!("it has more than {MOST_SEGMENTS} segments"));
    }
    Ok(PathPattern { segments: segments.into(), rest })
}

fn read_segment(part: &str) -> Result<Segment, String> {
    if let Some(name) = part.strip_prefix(':') {
        let well_formed = |b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
        return if name.is_empty() {
            Err("a parameter needs a name, as in :id".to_owned())
        } else if name.bytes().all(well_formed) {
            Ok(Segment::Param(Arc::from(name)))
        } else {
            Err("a parameter's name has only a-z, 0-9, _ and -".to_owned())
        };
    }
    match part {
        "" => return Err("it has an empty segment; leave out doubled and trailing /".to_owned()),
        "." | ".." => return Err("it has a . or .. segment".to_owned()),
        "..." => return Err("/... may only stand at the end".to_owned()),
        _ => {}
    }
    check_letters(part)?;
    Ok(Segment::Literal(Arc::from(part)))
}

fn check_letters(part: &str) -> Result<(), String> {
    let mut letters = part.chars();
    while let Some(letter) = letters.next() {
        match letter {
            'a'..='z' | 'A'..='Z' | '0'..='9' => {}
            '-' | '.' | '_' | '~' | '!' | '$' | '&' | '\'' | '(' | ')' | '*' | '+' | ',' | ';'
            | '=' | ':' | '@' => {}
            '%' => check_escape(letters.as_str().get(..2))?,
            '?' | '#' => return Err(format!("a route ends before the query: it has a {letter}")),
            other => {
                let mut bytes = [0; 4];
                let escaped: String =
                    other.encode_utf8(&mut bytes).bytes().map(|b| format!("%{b:02X}")).collect();
                return Err(format!(
                    "write {} as {escaped}",
                    Quoted(other.encode_utf8(&mut [0; 4]))
                ));
            }
        }
    }
    Ok(())
}

/// Refuses an escape that has another, plainer form, because matching compares bytes.
fn check_escape(digits: Option<&str>) -> Result<(), String> {
    let byte = digits
        .filter(|digits| digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'A'..=b'F')))
        .and_then(|digits| u8::from_str_radix(digits, 16).ok());
    match byte {
        None => Err("after % it needs two hexadecimal digits, letters in capitals".to_owned()),
        Some(b'/') => Err("%2F is a slash to some and a letter to others".to_owned()),
        Some(b @ (b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~')) => {
            Err(format!("write %{b:02X} as {}", char::from(b)))
        }
        Some(_) => Ok(()),
    }
}
