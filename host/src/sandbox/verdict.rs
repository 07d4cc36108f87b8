//! What a Wasm binary is, seen from outside: which of the kinds we serve, or why it is none of them.
//! Does not compile or run it.

use std::fmt;

use serde::{Deserialize, Serialize};
use steerage_core::units::Bytes;

use super::engine::Flavor;
use super::needs::Needs;
use super::offered;
use super::restore::unfit::Unfit;
use super::sections::{ImportKind, Sections};

/// The kinds of guest this host serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum GuestKind {
    /// A component exporting `wasi:http/incoming-handler` 0.2.
    #[serde(rename = "http-0.2")]
    Http02,
    /// A component exporting `wasi:http/handler` 0.3.
    #[serde(rename = "http-0.3")]
    Http03,
    /// A component exporting `wasi:cli/run` 0.2, served the CGI way.
    CgiComponent,
    /// A core module of preview 1 with `_start`, served the CGI way.
    CgiModule,
}

/// What is known of a component before it is compiled.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Shape {
    /// Which kind of guest it is.
    pub kind: GuestKind,
    /// Which engine its code is for.
    pub flavor: Flavor,
    /// What one instance takes.
    pub needs: Needs,
    /// Why an instance cannot be put back after a call; nothing where it can, as far as its bytes tell.
    pub unfit: Option<Unfit>,
    /// Interfaces that it imports and that the host does not have: a call of one of them traps.
    #[serde(default)]
    pub not_offered: Vec<String>,
}

/// Why a binary is refused, whatever the settings.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum Rejection {
    /// The bytes are not WebAssembly.
    NotWasm {
        /// What they look like instead.
        found: String,
    },
    /// It is WebAssembly that uses what the engines here do not have.
    Unsupported {
        /// The proposals by name, with what can be done; none where the detail alone tells.
        proposals: Vec<String>,
        /// What the validator said.
        detail: String,
    },
    /// It is a core module that is meant to become a component, and none can be made of it.
    NotYetComponent {
        /// Why not.
        detail: String,
    },
    /// Its `_start` is no function that a program starts with.
    WrongStart {
        /// How many parameters it takes, instead of none.
        n_parameters: usize,
        /// How many results it gives, instead of none.
        n_results: usize,
    },
    /// One instance takes more of something than an instance may.
    TooMany {
        /// What it takes.
        what: String,
        /// How many, nested components included.
        value: u64,
        /// Whether it is more than that: counting was given up.
        is_more: bool,
        /// How many it may take.
        limit: u64,
    },
    /// A table is larger at start than any may be.
    LargeTable {
        /// Its elements.
        elements: u64,
        /// How many it may have.
        limit: u64,
    },
    /// A memory is larger at start than any may be on this host.
    LargeMemory {
        /// Its size in bytes.
        bytes: u64,
        /// The largest there may be.
        limit: u64,
    },
    /// It compiled, and the engine would not take its code.
    Unusable {
        /// What the engine said.
        detail: String,
    },
    /// It is WebAssembly, but invalid, such as truncated.
    Invalid {
        /// What the validator said.
        detail: String,
    },
    /// It exports none of the interfaces this host can call.
    WrongWorld {
        /// What it exports instead.
        exports: Vec<String>,
        /// What it imports that this host does not have: of another world, as a rule.
        #[serde(default)]
        missing: Vec<String>,
    },
    /// It imports interfaces this host does not have.
    MissingImports {
        /// The names of those imports.
        imports: Vec<String>,
    },
}

/// What this host can call, for messages.
pub const WANTED: &str = "wasi:http/incoming-handler@0.2 or wasi:http/handler@0.3 (a service), \
                          wasi:cli/run@0.2 or a core module with _start (a CGI program)";

/// Names that a refusal lists, and how much of each.
const MOST_NAMES: usize = 20;
const LONGEST_NAME: usize = 100;

/// Refuses what is not WebAssembly at all, and tells a component from a core module.
///
/// # Errors
/// [`Rejection::NotWasm`].
pub fn is_component(bytes: &[u8]) -> Result<bool, Rejection> {
    const MAGIC: &[u8] = b"\0asm";
    let found = match (bytes.get(..4), bytes.get(4..8)) {
        (Some(MAGIC), Some([1, 0, 0, 0])) => return Ok(false),
        (Some(MAGIC), Some([_, 0, 1, 0])) => return Ok(true),
        (Some(MAGIC), _) => "a WebAssembly header of an unknown version".to_owned(),
        (Some(b"\x7fELF"), _) => "an ELF file; compiled code is not accepted".to_owned(),
        (None, _) => format!("only {} bytes", bytes.len()),
        (Some(_), _) if bytes.trim_ascii_start().starts_with(b"(") => {
            "WebAssembly text; convert it with `wasm-tools parse`".to_owned()
        }
        (Some(start), _) => format!("a file that starts with {start:02x?}"),
    };
    Err(Rejection::NotWasm { found })
}

/// Interfaces that a component imports and that the host does not have. Some toolchains import all that
/// there is, whether it is used or not, so that this is no reason to refuse it.
#[must_use]
pub fn not_offered(sections: &Sections<'_>) -> Vec<String> {
    let called = sections.imports.iter().filter(|import| import.kind == ImportKind::Functions);
    let missing = called.filter(|import| !offered::has_interface(import.name));
    missing.map(|import| import.name.to_owned()).collect()
}

/// Finds out the kind of a component, and that the host has all it imports, or can have calls of it trap.
///
/// # Errors
/// [`Rejection::WrongWorld`] or [`Rejection::MissingImports`].
pub fn kind_of_component(sections: &Sections<'_>) -> Result<GuestKind, Rejection> {
    let others = sections.imports.iter().filter(|import| import.kind == ImportKind::Other);
    refuse_missing(others.map(|import| import.name.to_owned()).collect())?;
    let exports = |interface: &str, begins: &str| {
        let versions = sections.exports.iter().filter_map(|name| name.strip_prefix(interface));
        versions.into_iter().any(|version| offered::is_release_of(version, begins))
    };
    if exports("wasi:http/handler@", "0.3.") {
        Ok(GuestKind::Http03)
    } else if exports("wasi:http/incoming-handler@", "0.2.") {
        Ok(GuestKind::Http02)
    } else if exports("wasi:cli/run@", "0.2.") {
        Ok(GuestKind::CgiComponent)
    } else {
        Err(wrong_world(sections))
    }
}

/// Whether a core module is meant to become a component, and cannot be called before it is one.
#[must_use]
pub fn is_half_made(sections: &Sections<'_>) -> bool {
    // Bindings for the component model name interfaces, and describe themselves in a section.
    let is_interface = |name: &str| name.contains(':') && name.contains('/');
    let is_described = sections.custom.iter().any(|name| name.starts_with("component-type"))
        || sections.imports.iter().any(|import| is_interface(import.name))
        || sections.exports.iter().any(|name| is_interface(name));
    let starts = sections.exports.contains(&"_start");
    is_described && (!starts || missing_functions(sections).next().is_some())
}

/// Finds out that a core module is a preview-1 command, and that the host has all it imports.
///
/// # Errors
/// [`Rejection::WrongWorld`] or [`Rejection::MissingImports`].
pub fn kind_of_module(sections: &Sections<'_>) -> Result<GuestKind, Rejection> {
    refuse_missing(missing_functions(sections).collect())?;
    if sections.exports.contains(&"_start") {
        Ok(GuestKind::CgiModule)
    } else {
        Err(wrong_world(sections))
    }
}

fn missing_functions(sections: &Sections<'_>) -> impl Iterator<Item = String> {
    let imports = sections.imports.iter();
    imports
        .filter(|import| !offered::has_function(import.name, import.field))
        .map(|import| format!("{}.{}", import.name, import.field))
}

fn refuse_missing(mut imports: Vec<String>) -> Result<(), Rejection> {
    imports.dedup();
    if imports.is_empty() { Ok(()) } else { Err(Rejection::MissingImports { imports }) }
}

fn wrong_world(sections: &Sections<'_>) -> Rejection {
    let exports = sections.exports.iter().map(|name| (*name).to_owned()).collect();
    Rejection::WrongWorld { exports, missing: not_offered(sections) }
}

/// Names with commas between, as many as a person reads.
fn listed(names: &[String]) -> String {
    let shown = names.iter().take(MOST_NAMES).map(|name| {
        let end = name.floor_char_boundary(LONGEST_NAME);
        let cut = if end < name.len() { "…" } else { "" };
        format!("{}{cut}", name.get(..end).unwrap_or_default().escape_debug())
    });
    let shown = shown.collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(MOST_NAMES) {
        0 => shown,
        n_more => format!("{shown} and {n_more} more"),
    }
}

impl GuestKind {
    /// Whether the request is given to the guest the CGI way.
    #[must_use]
    pub fn is_cgi(self) -> bool {
        matches!(self, Self::CgiComponent | Self::CgiModule)
    }

    /// The kind of this name, if there is one.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let all = [Self::Http02, Self::Http03, Self::CgiComponent, Self::CgiModule];
        all.into_iter().find(|kind| kind.to_string() == name)
    }
}

impl fmt::Display for GuestKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http02 => "http-0.2",
            Self::Http03 => "http-0.3",
            Self::CgiComponent => "cgi-component",
            Self::CgiModule => "cgi-module",
        })
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotWasm { found } => write!(f, "not a WebAssembly binary: found {found}"),
            Self::Invalid { detail } => write!(f, "invalid WebAssembly: {detail}"),
            Self::WrongWorld { exports, missing } => {
                let exports = match exports.is_empty() {
                    true => "nothing".to_owned(),
                    false => listed(exports),
                };
                write!(f, "wrong world: it exports {exports}; this host calls {WANTED}")?;
                if missing.is_empty() {
                    return Ok(());
                }
                write!(f, "; it also imports what this host does not have: {}", listed(missing))
            }
            Self::MissingImports { imports } => {
                write!(f, "it imports what this host does not have: {}", listed(imports))
            }
            Self::Unsupported { proposals, detail } if proposals.is_empty() => {
                write!(f, "it uses what this host does not have: {detail}")
            }
            Self::Unsupported { proposals, detail } => {
                let proposals = proposals.join("; and ");
                write!(f, "it uses a proposal that this host does not have: {proposals} ({detail})")
            }
            Self::NotYetComponent { detail } => {
                write!(
                    f,
                    "this is a core module made for a component; {detail}; built for wasm32-wasip2 it is one"
                )
            }
            Self::WrongStart { n_parameters, n_results } => write!(
                f,
                "its _start takes {n_parameters} parameters and gives {n_results} results; a \
                 program's takes and gives none"
            ),
            Self::TooMany { what, value, is_more, limit } => {
                let more = if *is_more { "more than " } else { "" };
                write!(
                    f,
                    "it has {more}{value} {what}, nested components included; an instance may have \
                     {limit}"
                )
            }
            Self::LargeTable { elements, limit } => {
                write!(f, "one of its tables has {elements} elements at start; it may have {limit}")
            }
            Self::LargeMemory { bytes, limit } => {
                let (bytes, limit) = (Bytes::new(*bytes), Bytes::new(*limit));
                write!(
                    f,
                    "one of its memories has {bytes} at start; on this host it may have {limit}"
                )
            }
            Self::Unusable { detail } => {
                write!(f, "it compiles, and the engine does not take its code: {detail}")
            }
        }
    }
}
