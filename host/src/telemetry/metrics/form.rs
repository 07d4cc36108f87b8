//! The two text formats that metrics are asked for in, and the way from the newer to the older one.
//! Does not know any metric.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;

/// Bytes of text that are handed on at once: what a host holds of its metrics while they are read.
const CHUNK: usize = 64 << 10;

/// A text format of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// OpenMetrics 1.0, which has units, infos and an end mark.
    Open,
    /// Prometheus' text format 0.0.4, which every reader of metrics knows.
    Classic,
}

impl Form {
    /// The form for an `Accept` header: OpenMetrics for who names it, as Prometheus does, and the
    /// classic format for everybody else.
    #[must_use]
    pub fn accepted(accept: Option<&str>) -> Self {
        let names_open = |range: &str| {
            let mut parts = range.split(';').map(str::trim);
            let is_open = parts
                .next()
                .is_some_and(|kind| kind.eq_ignore_ascii_case("application/openmetrics-text"));
            is_open && !parts.any(is_refused)
        };
        let is_open = accept.is_some_and(|accept| accept.split(',').any(names_open));
        if is_open { Self::Open } else { Self::Classic }
    }

    /// What `Content-Type` says of it.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Open => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Classic => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// Takes an OpenMetrics document as it is written, and hands it on in a form, a piece at a time.
#[derive(Debug)]
pub(super) struct Pieces<S> {
    form: Form,
    /// What was written of a line whose end has not come.
    line: String,
    /// The help of a family whose type has not come: it decides what the family is called.
    help: Option<String>,
    piece: String,
    send: S,
}

impl<S: FnMut(Bytes) -> fmt::Result> Pieces<S> {
    /// Pieces for `send`, which fails when nobody wants more.
    pub(super) fn new(form: Form, send: S) -> Self {
        Self { form, line: String::new(), help: None, piece: String::new(), send }
    }

    /// Hands on what is left.
    pub(super) fn finish(mut self) -> fmt::Result {
        self.end_line();
        self.hand_on()
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        match self.form {
            Form::Open => self.piece.push_str(&line),
            Form::Classic => self.classic(line.trim_end_matches('\n')),
        }
        // Its room is used again.
        self.line = line;
        self.line.clear();
    }

    /// The classic format names a family as its samples are named, and knows neither units nor infos.
    fn classic(&mut self, line: &str) {
        let text = &mut self.piece;
        if let Some(of) = line.strip_prefix("# HELP ") {
            self.help = of.split_once(' ').map(|(_, help)| help.to_owned());
        } else if let Some((name, kind)) =
            line.strip_prefix("# TYPE ").and_then(|of| of.split_once(' '))
        {
            let (name, kind) = match kind {
                "counter" => (Cow::Owned(format!("{name}_total")), kind),
                "info" => (Cow::Owned(format!("{name}_info")), "gauge"),
                "unknown" => (Cow::Borrowed(name), "untyped"),
                _ => (Cow::Borrowed(name), kind),
            };
            if let Some(help) = self.help.take() {
                text.push_str(&format!("# HELP {name} {help}\n"));
            }
            text.push_str(&format!("# TYPE {name} {kind}\n"));
        } else if !line.starts_with('#') && !line.is_empty() {
            text.push_str(line);
            text.push('\n');
        }
    }

    fn hand_on(&mut self) -> fmt::Result {
        if self.piece.is_empty() {
            return Ok(());
        }
        (self.send)(std::mem::take(&mut self.piece).into())
    }
}

impl<S: FnMut(Bytes) -> fmt::Result> fmt::Write for Pieces<S> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for part in text.split_inclusive('\n') {
            self.line.push_str(part);
            if part.ends_with('\n') {
                self.end_line();
            }
        }
        if self.piece.len() >= CHUNK { self.hand_on() } else { Ok(()) }
    }
}

/// A weight of zero means "not this one" (RFC 9110, 12.4.2).
fn is_refused(parameter: &str) -> bool {
    let weight = parameter.strip_prefix("q=").or_else(|| parameter.strip_prefix("Q="));
    weight.is_some_and(|weight| weight.parse() == Ok(0.0_f32))
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use expect_test::expect;

    use super::*;

    #[test]
    fn the_older_format_is_for_who_does_not_ask_for_the_newer() {
        let form = |accept| Form::accepted(accept);
        assert_eq!(form(None), Form::Classic);
        assert_eq!(form(Some("*/*")), Form::Classic);
        assert_eq!(form(Some("text/plain;version=0.0.4")), Form::Classic);
        assert_eq!(form(Some("application/openmetrics-text;q=0")), Form::Classic);
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;q=0.4";
        assert_eq!(form(Some(prometheus)), Form::Open);
    }

    #[test]
    fn families_are_named_as_their_samples() {
        let open = "# HELP calls Calls.\n# TYPE calls counter\ncalls_total{app=\"a\"} 1\n\
                    # HELP wait_seconds Waits.\n# TYPE wait_seconds histogram\n\
                    # UNIT wait_seconds seconds\nwait_seconds_bucket{le=\"+Inf\"} 1\n\
                    # HELP host_build Version.\n# TYPE host_build info\n\
                    host_build_info{version=\"1\"} 1\n# EOF\n";
        expect![[r#"
            # HELP calls_total Calls.
            # TYPE calls_total counter
            calls_total{app="a"} 1
            # HELP wait_seconds Waits.
            # TYPE wait_seconds histogram
            wait_seconds_bucket{le="+Inf"} 1
            # HELP host_build_info Version.
            # TYPE host_build_info gauge
            host_build_info{version="1"} 1
        "#]]
        .assert_eq(&written(Form::Classic, open));
        assert_eq!(written(Form::Open, open), open);
    }

    /// A document that was written a few characters at a time.
    fn written(form: Form, open: &str) -> String {
        let mut text = String::new();
        let mut pieces = Pieces::new(form, |piece: Bytes| {
            text.push_str(std::str::from_utf8(&piece).unwrap());
            Ok(())
        });
        for part in open.as_bytes().chunks(7) {
            pieces.write_str(std::str::from_utf8(part).unwrap()).unwrap();
        }
        pieces.finish().unwrap();
        text
    }
}
