//! What the host offers to guests by name: the interfaces of WASI that it links, and the functions of
//! preview 1. Kept beside `linker`, which links them; does not know their types.

/// Interfaces that every component may import, by package: of 0.2 and of 0.3.
const INTERFACES: [(&str, &str, &str); 7] = [
    (
        "wasi:cli/",
        "environment exit stdin stdout stderr terminal-input terminal-output terminal-stdin \
         terminal-stdout terminal-stderr",
        "environment exit stdin stdout stderr terminal-input terminal-output terminal-stdin \
         terminal-stdout terminal-stderr types",
    ),
    ("wasi:clocks/", "monotonic-clock wall-clock", "monotonic-clock system-clock types"),
    ("wasi:filesystem/", "preopens types", "preopens types"),
    ("wasi:http/", "outgoing-handler types", "client types"),
    ("wasi:io/", "error poll streams", ""),
    ("wasi:random/", "insecure insecure-seed random", "insecure insecure-seed random"),
    (
        "wasi:sockets/",
        "instance-network ip-name-lookup network tcp tcp-create-socket udp udp-create-socket",
        "ip-name-lookup types",
    ),
];
/// A draft, of which each version is another interface, and what of it is linked.
const OTEL: (&str, [&str; 2]) = ("wasi:otel/", ["tracing@0.2.0-rc.2", "types@0.2.0-rc.2"]);
/// What an app is configured with: drafts and releases of others, of which each version is another interface.
const CONFIG: [&str; 5] = [
    "wasi:config/store@0.2.0-draft-2024-09-27",
    "wasi:config/store@0.2.0-rc.1",
    "wasi:config/store@0.2.0-draft",
    "fermyon:spin/variables@2.0.0",
    "spin:variables/variables@3.0.0",
];
/// Key-value stores, of which each version is another interface as well, each linked under its whole name.
const KEY_VALUE: [&str; 7] = [
    "fermyon:spin/key-value@2.0.0",
    "wasi:keyvalue/atomics@0.2.0-draft",
    "wasi:keyvalue/atomics@0.2.0-draft2",
    "wasi:keyvalue/batch@0.2.0-draft",
    "wasi:keyvalue/batch@0.2.0-draft2",
    "wasi:keyvalue/store@0.2.0-draft",
    "wasi:keyvalue/store@0.2.0-draft2",
];
/// Servers that guests ask through the host.
const SERVERS: [&str; 1] = ["fermyon:spin/redis@2.0.0"];
/// SQL databases, likewise.
const SQL: [&str; 3] =
    ["fermyon:spin/sqlite@2.0.0", "spin:sqlite/sqlite@3.0.0", "spin:sqlite/sqlite@3.1.0"];
/// The only module a core module may import from, and what is in it.
const PREVIEW_1: &str = "wasi_snapshot_preview1";
const FUNCTIONS: &str = "args_get args_sizes_get clock_res_get clock_time_get environ_get \
    environ_sizes_get fd_advise fd_allocate fd_close fd_datasync fd_fdstat_get \
    fd_fdstat_set_flags fd_fdstat_set_rights fd_filestat_get fd_filestat_set_size \
    fd_filestat_set_times fd_pread fd_prestat_dir_name fd_prestat_get fd_pwrite fd_read \
    fd_readdir fd_renumber fd_seek fd_sync fd_tell fd_write path_create_directory \
    path_filestat_get path_filestat_set_times path_link path_open path_readlink \
    path_remove_directory path_rename path_symlink path_unlink_file poll_oneoff proc_exit \
    proc_raise random_get sched_yield sock_accept sock_recv sock_send sock_shutdown";

/// A guest called a function that it imports and that the host does not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it called what this host does not offer: {function}")]
pub(super) struct NotOffered {
    /// The interface and the function, as `package:name/interface@version#function`.
    pub(super) function: String,
}

/// Whether the host has an interface of this name.
pub(super) fn has_interface(name: &str) -> bool {
    if let Some(rest) = name.strip_prefix(OTEL.0) {
        return OTEL.1.contains(&rest);
    }
    let by_name = [&CONFIG[..], &KEY_VALUE, &SERVERS, &SQL];
    if by_name.iter().any(|names| names.contains(&name)) {
        return true;
    }
    let package = INTERFACES.iter().find(|(package, ..)| name.starts_with(package));
    let Some((package, zero_two, zero_three)) = package else { return false };
    let rest = name.get(package.len()..).unwrap_or_default();
    let (interface, version) = rest.split_once('@').unwrap_or((rest, ""));
    let has = |names, begins| is_release_of(version, begins) && is_among(names, interface);
    has(zero_two, "0.2.") || has(zero_three, "0.3.")
}

/// Whether a version is one of these and no draft of one: each draft is another interface.
pub(super) fn is_release_of(version: &str, begins: &str) -> bool {
    version.starts_with(begins) && !version.contains('-')
}

/// Whether a core module may import this function.
pub(super) fn has_function(module: &str, name: &str) -> bool {
    module == PREVIEW_1 && is_among(FUNCTIONS, name)
}

fn is_among(names: &str, name: &str) -> bool {
    names.split_ascii_whitespace().any(|known| known == name)
}

#[cfg(test)]
mod tests {
    use wasmtime::component::Component;

    use super::*;
    use crate::sandbox::engine::{self, Flavor, PoolSettings, Slots};
    use crate::sandbox::linker;

    #[test]
    fn the_functions_of_preview_1_are_those_that_are_linked() {
        let (engine, _) = engine::running(Flavor::Plain, &pool()).unwrap();
        let linker = linker::core_linker(&engine).unwrap();
        let mut linked: Vec<String> = Vec::new();
        for name in FUNCTIONS.split_ascii_whitespace() {
            let text = format!("(module (import \"{PREVIEW_1}\" \"{name}\" (func)))");
            let module = wasmtime::Module::new(&engine, wat::parse_str(text).unwrap()).unwrap();
            // Its type is another, which is said of what is there only.
            let error = linker.instantiate_pre(&module).err().map(|error| format!("{error:#}"));
            if error.is_some_and(|error| error.contains("incompatible import type")) {
                linked.push(name.to_owned());
            }
        }
        assert_eq!(
            linked.join(" "),
            FUNCTIONS.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
        );
    }

    fn pool() -> PoolSettings {
        PoolSettings {
            slots: Slots::AtMost(1),
            keep_resident: steerage_core::units::Bytes::ZERO,
            largest_memory: steerage_core::units::Bytes::mebi(16),
            may_swap: false,
        }
    }

    /// What a component that imports this is told where it cannot be linked.
    fn unlinked(flavor: Flavor, imports: &str) -> Option<String> {
        let (engine, _) = engine::running(flavor, &pool()).unwrap();
        let linker = linker::component_linker(&engine, flavor).unwrap();
        let text = format!("(component {imports})");
        let component = Component::new(&engine, wat::parse_str(text).unwrap()).unwrap();
        let completed = linker::completed(&linker, &engine, &component).unwrap();
        let linked = completed.as_ref().unwrap_or(&linker).instantiate_pre(&component);
        linked.err().map(|error| format!("{error:#}"))
    }

    #[test]
    fn drafts_that_are_offered_are_linked_and_nothing_stands_for_them() {
        let imports: Vec<String> = CONFIG
            .iter()
            .chain(&KEY_VALUE)
            .chain(&SERVERS)
            .chain(&SQL)
            .map(|name| format!("(import \"{name}\" (instance))"))
            .collect();
        for flavor in [Flavor::Plain, Flavor::Concurrent] {
            assert_eq!(unlinked(flavor, &imports.concat()), None, "{flavor:?}");
        }
        let config = "(import \"wasi:config/store@0.2.0-draft\" (instance
            (export \"unknown\" (func))))";
        assert!(unlinked(Flavor::Plain, config).is_some(), "it is linked, not stood in for");
    }

    #[test]
    fn variables_of_spin_have_the_type_that_async_guests_import() {
        let variables = "(import \"spin:variables/variables@3.0.0\" (instance
            (type $case (variant (case \"invalid-name\" string) (case \"undefined\" string)
                (case \"provider\" string) (case \"other\" string)))
            (export \"error\" (type $error (eq $case)))
            (export \"get\" (func async (param \"name\" string)
                (result (result string (error $error)))))))";
        assert_eq!(unlinked(Flavor::Concurrent, variables), None);
    }

    #[test]
    fn databases_have_the_types_that_guests_import() {
        let types = "(export \"connection\" (type $connection (sub resource)))
            (type $value (variant (case \"integer\" s64) (case \"real\" float64)
                (case \"text\" string) (case \"blob\" (list u8)) (case \"null\")))
            (export \"value\" (type $it (eq $value)))
            (type $row (record (field \"values\" (list $it))))
            (export \"row-result\" (type $one (eq $row)))
            (type $case (variant (case \"no-such-database\") (case \"access-denied\")
                (case \"invalid-connection\") (case \"database-full\") (case \"io\" string)))
            (export \"error\" (type $error (eq $case)))
            (export \"[method]connection.changes\" (func
                (param \"self\" (borrow $connection)) (result u64)))";
        let waits =
            "(export \"[static]connection.open-async\" (func async (param \"database\" string)
                (result (result (own $connection) (error $error)))))
            (export \"[method]connection.execute-async\" (func async
                (param \"self\" (borrow $connection)) (param \"statement\" string)
                (param \"parameters\" (list $it))
                (result (result (tuple (list string) (stream $one)
                    (future (result (error $error)))) (error $error)))))
            (export \"[method]connection.changes-async\" (func async
                (param \"self\" (borrow $connection)) (result u64)))
            (export \"[method]connection.last-insert-rowid-async\" (func async
                (param \"self\" (borrow $connection)) (result s64)))";
        let import = |version: &str, more: &str| {
            format!("(import \"spin:sqlite/sqlite@{version}\" (instance {types} {more}))")
        };
        for flavor in [Flavor::Plain, Flavor::Concurrent] {
            assert_eq!(unlinked(flavor, &import("3.0.0", "")), None, "{flavor:?}");
            assert_eq!(unlinked(flavor, &import("3.1.0", "")), None, "{flavor:?}");
        }
        assert_eq!(unlinked(Flavor::Concurrent, &import("3.1.0", waits)), None);
    }

    #[test]
    fn functions_of_every_sort_and_resources_are_stood_in_for() {
        let sync = "(import \"shop:orders/book@1.0.0\" (instance
            (export \"order\" (type $order (sub resource)))
            (export \"count\" (func (result u64)))
            (export \"first\" (func (result (own $order))))))
            (import \"alone\" (func (param \"x\" string)))";
        let waits = "(import \"shop:orders/later@1.0.0\" (instance
            (export \"count\" (func async (result u64)))))";
        assert_eq!(unlinked(Flavor::Plain, sync), None);
        assert_eq!(unlinked(Flavor::Concurrent, &format!("{sync}{waits}")), None);
    }
}
