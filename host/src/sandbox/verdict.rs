//! What a Wasm binary is, seen from outside: which of the kinds we serve, or why it is none of them.
//! Does not compile or run it.

use std::fmt;

use serde::{Deserialize, Serialize};
use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;
use wasmtime::{Engine, ExternType, Module};

use super::engine::Flavor;

/// The kinds of guest this host serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
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

/// What is known of a component once it is compiled.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Shape {
    /// Which kind of guest it is.
    pub kind: Kind,
    /// Which engine its code is for.
    pub flavor: Flavor,
    /// Bytes its memories and tables take before it has run.
    pub least_memory: u64,
}

/// Why a binary is refused, whatever the settings.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum Rejection {
    /// The bytes are not WebAssembly.
    NotWasm {
        /// What they look like instead.
        found: String,
    },
    /// It is WebAssembly, but invalid: truncated, or using features this host has not.
    Invalid {
        /// What the validator said.
        detail: String,
    },
    /// It exports none of the interfaces this host can call.
    WrongWorld {
        /// What it exports instead.
        exports: Vec<String>,
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

/// Interfaces every component may import, by package.
const PACKAGES: [&str; 7] = [
    "wasi:cli/",
    "wasi:clocks/",
    "wasi:filesystem/",
    "wasi:http/",
    "wasi:io/",
    "wasi:random/",
    "wasi:sockets/",
];
/// The only module a core module may import from.
const PREVIEW_1: &str = "wasi_snapshot_preview1";
/// What one table element costs: a pointer.
const ELEMENT: u64 = 8;
/// Bytes of one page of memory.
const PAGE: u64 = 64 << 10;

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

/// Finds out the kind of a compiled component.
///
/// # Errors
/// [`Rejection::WrongWorld`] or [`Rejection::MissingImports`].
pub fn of_component(
    engine: &Engine,
    flavor: Flavor,
    component: &Component,
) -> Result<Shape, Rejection> {
    let world = component.component_type();
    let missing: Vec<String> = world
        .imports(engine)
        .filter(|(name, item)| !is_offered(name, &item.ty))
        .map(|(name, _)| name.to_owned())
        .collect();
    if !missing.is_empty() {
        return Err(Rejection::MissingImports { imports: missing });
    }
    let exports: Vec<&str> = world.exports(engine).map(|(name, _)| name).collect();
    let exported = |prefix: &str| exports.iter().any(|name| name.starts_with(prefix));
    let kind = if exported("wasi:http/handler@0.3.") {
        Kind::Http03
    } else if exported("wasi:http/incoming-handler@0.2.") {
        Kind::Http02
    } else if exported("wasi:cli/run@0.2.") {
        Kind::CgiComponent
    } else {
        let exports = exports.into_iter().map(str::to_owned).collect();
        return Err(Rejection::WrongWorld { exports });
    };
    let least_memory = component.resources_required().map_or(0, |needs| least_memory(&needs));
    Ok(Shape { kind, flavor, least_memory })
}

/// Checks that a core module is a preview-1 command.
///
/// # Errors
/// [`Rejection::WrongWorld`] or [`Rejection::MissingImports`].
pub fn of_module(module: &Module) -> Result<Shape, Rejection> {
    let missing: Vec<String> = module
        .imports()
        .filter(|import| import.module() != PREVIEW_1)
        .map(|import| format!("{}.{}", import.module(), import.name()))
        .collect();
    if !missing.is_empty() {
        return Err(Rejection::MissingImports { imports: missing });
    }
    let starts =
        module.get_export("_start").is_some_and(|start| matches!(start, ExternType::Func(_)));
    if !starts {
        let exports = module.exports().map(|export| export.name().to_owned()).collect();
        return Err(Rejection::WrongWorld { exports });
    }
    let least_memory = least_memory(&module.resources_required());
    Ok(Shape { kind: Kind::CgiModule, flavor: Flavor::Plain, least_memory })
}

/// Whether a component that uses none of the async features itself needs an engine that has them,
/// because it imports interfaces that do.
#[must_use]
pub fn imports_concurrent(engine: &Engine, component: &Component) -> bool {
    component.component_type().imports(engine).any(|(name, _)| name.contains("@0.3."))
}

fn is_offered(name: &str, item: &ComponentItem) -> bool {
    let Some(package) = PACKAGES.iter().find(|package| name.starts_with(**package)) else {
        // A world may import plain types; they need nothing from the host.
        return matches!(item, ComponentItem::Type(_));
    };
    let version = name.rsplit_once('@').map_or("", |(_, version)| version);
    let zero_two = version.starts_with("0.2.");
    let zero_three = version.starts_with("0.3.") && *package != "wasi:io/";
    zero_two || zero_three
}

fn least_memory(needs: &wasmtime::ResourcesRequired) -> u64 {
    let memory = needs.max_initial_memory_size.unwrap_or(0).saturating_mul(PAGE);
    let table = needs.max_initial_table_size.unwrap_or(0);
    memory.saturating_add(table.saturating_mul(ELEMENT))
}

impl Kind {
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

impl fmt::Display for Kind {
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
            Self::WrongWorld { exports } if exports.is_empty() => {
                write!(f, "wrong world: it exports nothing; this host calls {WANTED}")
            }
            Self::WrongWorld { exports } => {
                write!(
                    f,
                    "wrong world: it exports {}; this host calls {WANTED}",
                    exports.join(", ")
                )
            }
            Self::MissingImports { imports } => {
                write!(f, "it imports what this host does not have: {}", imports.join(", "))
            }
        }
    }
}
