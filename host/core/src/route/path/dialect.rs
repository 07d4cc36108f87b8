//! What is meant by a path that is written as other routers want it: `/users/{id}`, `/files/*`.
//! Does not correct anything: it only words the refusal. A star inside a segment is a letter like
//! others; one at its border matches nothing that anybody would send.

use crate::quote::Quoted;

/// What one segment means in another dialect.
enum Meant {
    /// Any one segment, under this name.
    Param(String),
    /// Whatever follows.
    Rest,
}

/// What to write instead of this path (without its leading slash and its `/...`), when a segment of
/// it is of another dialect.
pub(super) fn meant(prefix: &str, has_rest: bool) -> Option<String> {
    let parts: Vec<&str> = prefix.split('/').collect();
    let mut is_foreign = false;
    let mut written = String::new();
    let mut ends_early = false;
    for (place, part) in parts.iter().enumerate() {
        let is_last = place + 1 == parts.len() && !has_rest;
        let segment = match foreign(part) {
            None => (*part).to_owned(),
            Some(Meant::Rest) if is_last => {
                is_foreign = true;
                ends_early = true;
                break;
            }
            Some(Meant::Rest) => {
                is_foreign = true;
                ":any".to_owned()
            }
            Some(Meant::Param(name)) => {
                is_foreign = true;
                format!(":{name}")
            }
        };
        written.push('/');
        written.push_str(&segment);
    }
    if !is_foreign {
        return None;
    }
    if ends_early || has_rest {
        written.push_str("/...");
    }
    Some(format!("write {} for {}", Bare(&written), Quoted(&format!("/{prefix}"))))
}

/// A path that is short and plain enough to be shown without quotes.
struct Bare<'t>(&'t str);

impl std::fmt::Display for Bare<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let quoted = Quoted(self.0).to_string();
        f.write_str(quoted.trim_matches('"'))
    }
}

fn foreign(part: &str) -> Option<Meant> {
    let inside = |open: char, close: char| part.strip_prefix(open)?.strip_suffix(close);
    if matches!(part, "*" | "**" | ".*" | "(.*)") {
        return Some(Meant::Rest);
    }
    if let Some(inner) = inside('{', '}') {
        // `{id}`, `{id:[0-9]+}`, `{id?}`; `{*rest}`, `{rest...}`, `{rest:.*}`.
        let is_rest = inner.starts_with('*') || inner.ends_with("...") || inner.ends_with(":.*");
        let name = inner.split([':', '?']).next().unwrap_or_default();
        return Some(if is_rest { Meant::Rest } else { Meant::Param(plain(name)) });
    }
    if let Some(inner) = inside('<', '>') {
        // `<id>`, `<int:id>`; `<path:rest>`, `<rest..>`.
        let is_rest = inner.starts_with("path:") || inner.ends_with("..");
        let name = inner.rsplit(':').next().unwrap_or_default();
        return Some(if is_rest { Meant::Rest } else { Meant::Param(plain(name)) });
    }
    if let Some(inner) = inside('[', ']') {
        // `[id]`, `[...rest]`, `[[...rest]]`.
        let is_rest = inner.contains("...");
        return Some(if is_rest { Meant::Rest } else { Meant::Param(plain(inner)) });
    }
    if let Some(name) = part.strip_prefix(':') {
        // `:rest*`, `:rest+`, `:rest(.*)`.
        return name
            .ends_with(['*', '+'])
            .then_some(Meant::Rest)
            .or_else(|| name.ends_with("(.*)").then_some(Meant::Rest));
    }
    (part.starts_with('*') || part.ends_with('*')).then_some(Meant::Rest)
}

/// The name with only what a parameter's name may have.
fn plain(name: &str) -> String {
    let fits = |letter: &char| matches!(letter, 'a'..='z' | '0'..='9' | '_' | '-');
    let name: String = name.to_ascii_lowercase().chars().filter(fits).take(40).collect();
    if name.is_empty() { "id".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::super::PathPattern;

    #[test]
    fn other_dialects_are_told_what_to_write() {
        for (path, written) in [
            ("/a/*", "write /a/... for \"/a/*\""),
            ("/*", "write /... "),
            ("/a/**", "write /a/..."),
            ("/a/*rest", "write /a/..."),
            ("/static*", "write /... "),
            ("/a/:rest*", "write /a/..."),
            ("/a/(.*)", "write /a/..."),
            ("/a/{*rest}", "write /a/..."),
            ("/a/{rest...}", "write /a/..."),
            ("/a/<path:rest>", "write /a/..."),
            ("/a/[...rest]", "write /a/..."),
            ("/a/*/b", "write /a/:any/b"),
            ("/a/*/...", "write /a/:any/..."),
            ("/users/{id}", "write /users/:id for"),
            ("/users/{Id:[0-9]+}/posts/{post_id}", "write /users/:id/posts/:post_id"),
            ("/users/<int:id>", "write /users/:id"),
            ("/users/[id]/x/...", "write /users/:id/x/..."),
        ] {
            let error = PathPattern::parse(path).unwrap_err().to_string();
            assert!(error.contains(written), "{path}: {error}");
        }
        for path in ["/a*b", "/:id", "/a.b", "/a/...", "/(x)"] {
            PathPattern::parse(path).unwrap();
        }
        let long = format!("/{{{}}}", "x".repeat(900));
        assert!(PathPattern::parse(&long).unwrap_err().to_string().len() < 400);
    }
}
