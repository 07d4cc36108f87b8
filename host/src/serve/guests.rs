//! What runs guests, and what compiles them, as the settings want them.
//! Runs nothing.

use steerage_core::key_value::KeyValueQuota;

use crate::code::GuestStores;
use crate::config::Settings;
use crate::kernel;
use crate::key_value::{KeyValueStores, NOT_IN_A_FLEET};
use crate::sandbox::compiler;
use crate::sandbox::module::{Sandbox, SandboxError};
use crate::sandbox::outbound::Egress;
use crate::sql::{Databases, NO_SQL_IN_A_FLEET};

/// What runs guests.
pub(super) fn sandbox(settings: &Settings, n_cores: usize) -> Result<Sandbox, SandboxError> {
    let egress = Egress::new(settings.outbound_private.clone(), kernel::open_files());
    let compiler = compiler_settings(settings, n_cores);
    Sandbox::start(settings.pool, settings.cpu.slice, compiler, egress)
}

/// What they keep. Where there may be several hosts there is nothing: each would have pairs and rows of its own under
/// one name.
pub(super) fn kept(settings: &Settings) -> GuestStores {
    let data = &settings.data;
    if settings.fleet.is_some() {
        return GuestStores {
            pairs: KeyValueStores::unavailable(data, NOT_IN_A_FLEET),
            databases: Databases::unavailable(data, NO_SQL_IN_A_FLEET),
        };
    }
    GuestStores {
        pairs: KeyValueStores::new(data, KeyValueQuota::of(settings.kv_quota)),
        databases: Databases::new(data, settings.sql_quota),
    }
}

fn compiler_settings(settings: &Settings, n_cores: usize) -> compiler::Settings {
    compiler::Settings {
        program: settings.compiler.clone(),
        cache: settings.cache.clone().unwrap_or_else(|| settings.data.join("code")),
        is_shared: settings.cache.is_some(),
        timeout: settings.compile_timeout,
        memory: settings.compile_memory,
        largest_memory: settings.pool.largest_memory,
        is_soon: settings.is_compiled_soon,
        parallel: n_cores.div_ceil(2),
    }
}
