//! The two text formats that metrics are asked for in, and the way from the newer to the older one.
//! Does not know any metric.

use std::borrow::Cow;

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

    /// An OpenMetrics document in this form.
    #[must_use]
    pub fn write(self, open: String) -> String {
        match self {
            Self::Open => open,
            Self::Classic => classic(&open),
        }
    }
}

/// A weight of zero means "not this one" (RFC 9110, 12.4.2).
fn is_refused(parameter: &str) -> bool {
    let weight = parameter.strip_prefix("q=").or_else(|| parameter.strip_prefix("Q="));
    weight.is_some_and(|weight| weight.parse() == Ok(0.0_f32))
}

/// The classic format names a family as its samples are named, and knows neither units nor infos.
fn classic(open: &str) -> String {
    let mut text = String::with_capacity(open.len());
    // `# HELP` comes before the `# TYPE` that decides what the family is called.
    let mut help = None;
    for line in open.lines() {
        if let Some(of) = line.strip_prefix("# HELP ") {
            help = of.split_once(' ').map(|(_, help)| help);
        } else if let Some((name, kind)) =
            line.strip_prefix("# TYPE ").and_then(|of| of.split_once(' '))
        {
            let (name, kind) = match kind {
                "counter" => (Cow::Owned(format!("{name}_total")), kind),
                "info" => (Cow::Owned(format!("{name}_info")), "gauge"),
                "unknown" => (Cow::Borrowed(name), "untyped"),
                _ => (Cow::Borrowed(name), kind),
            };
            if let Some(help) = help.take() {
                text.push_str(&format!("# HELP {name} {help}\n"));
            }
            text.push_str(&format!("# TYPE {name} {kind}\n"));
        } else if !line.starts_with('#') {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
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
        .assert_eq(&Form::Classic.write(open.to_owned()));
    }
}
