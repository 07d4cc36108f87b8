//! The interfaces by which guests use SQL databases: `fermyon:spin/sqlite` 2.0.0, and `spin:sqlite/sqlite` 3.0.0 and
//! 3.1.0.
//! Does not run statements: `crate::sql` does.

mod later;

use std::sync::Arc;

use steerage_core::spent::Phase;
use steerage_core::sql::{SqlRefusal, check_statement};
use tokio::sync::Mutex;
use wasmtime::component::{
    ComponentType, Lift, Linker, LinkerInstance, Lower, Resource, ResourceType, WasmStr,
};

use super::entry::{Context, dropped};
use crate::call::WaitedFor;
use crate::sandbox::database::DatabaseHandle;
use crate::sandbox::engine::Flavor;
use crate::sandbox::guest::Guest;
use crate::sandbox::pace;
use crate::sql::{AppDatabases, OpenedDatabase, SqlAnswer, SqlError, SqlQuestion, SqlValue};

/// All have the same connections; later ones say more of what was changed, and have more functions.
const SQLITE_2: &str = "fermyon:spin/sqlite@2.0.0";
const SQLITE_3: [&str; 2] = ["spin:sqlite/sqlite@3.0.0", ASYNC_SQLITE];
const ASYNC_SQLITE: &str = "spin:sqlite/sqlite@3.1.0";
/// Rows of so many bytes take their time to be handed over.
const LARGE: usize = 16 << 10;

type Handle = Resource<DatabaseHandle>;
/// What came of it, or what ends the guest.
type Done<T> = wasmtime::Result<Result<T, SqlError>>;

#[derive(ComponentType, Lift, Lower)]
#[component(variant)]
enum SpinValue {
    #[component(name = "integer")]
    Integer(i64),
    #[component(name = "real")]
    Real(f64),
    #[component(name = "text")]
    Text(String),
    #[component(name = "blob")]
    Blob(Vec<u8>),
    #[component(name = "null")]
    Null,
}

#[derive(ComponentType, Lift, Lower)]
#[component(record)]
struct SpinRow {
    values: Vec<SpinValue>,
}

#[derive(ComponentType, Lift, Lower)]
#[component(record)]
struct SpinAnswer {
    columns: Vec<String>,
    rows: Vec<SpinRow>,
}

#[derive(ComponentType, Lift, Lower)]
#[component(variant)]
enum SpinSqlError {
    // Never said: a database that is not named is denied, whether or not there is one.
    #[component(name = "no-such-database")]
    NoSuchDatabase,
    #[component(name = "access-denied")]
    AccessDenied,
    #[component(name = "invalid-connection")]
    InvalidConnection,
    #[component(name = "database-full")]
    DatabaseFull,
    #[component(name = "io")]
    Io(String),
}

impl From<SqlError> for SpinSqlError {
    fn from(error: SqlError) -> Self {
        match error {
            SqlError::NotNamed { .. } => Self::AccessDenied,
            SqlError::Full { .. } => Self::DatabaseFull,
            SqlError::Lost => Self::InvalidConnection,
            error => Self::Io(error.to_string()),
        }
    }
}

/// Links all of them that the engine can have.
///
/// # Errors
/// When a function is there already, which would be a bug.
pub(super) fn add_to_linker(linker: &mut Linker<Guest>, flavor: Flavor) -> wasmtime::Result<()> {
    connections(&mut linker.instance(SQLITE_2)?)?;
    for name in SQLITE_3 {
        let mut third = linker.instance(name)?;
        connections(&mut third)?;
        counts(&mut third)?;
        if name == ASYNC_SQLITE && flavor == Flavor::Concurrent {
            later::link(&mut third)?;
        }
    }
    Ok(())
}

fn connections(types: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    let connection = ResourceType::host::<DatabaseHandle>();
    types.resource("connection", connection, dropped::<DatabaseHandle>)?;
    types.func_wrap(
        "[static]connection.open",
        |mut store: Context<'_>, (label,): (WasmStr,)| {
            let opened = open(&mut store, &label)?;
            Ok((told(&mut store, opened),))
        },
    )?;
    types.func_wrap_async(
        "[method]connection.execute",
        |mut store: Context<'_>, (handle, text, values): (Handle, WasmStr, Vec<SpinValue>)| {
            Box::new(async move {
                let answer = execute(&mut store, &handle, &text, values).await?;
                Ok((told(&mut store, answer.map(SpinAnswer::from)),))
            })
        },
    )
}

fn counts(types: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    types.func_wrap(
        "[method]connection.last-insert-rowid",
        |mut store: Context<'_>, (handle,): (Handle,)| {
            let opened = opened(&mut store, &handle)?;
            let rowid = opened.try_lock().map_or(0, |opened| opened.last_insert_rowid());
            Ok((rowid,))
        },
    )?;
    types.func_wrap("[method]connection.changes", |mut store: Context<'_>, (handle,): (Handle,)| {
        let opened = opened(&mut store, &handle)?;
        let changes = opened.try_lock().map_or(0, |opened| opened.changes());
        Ok((changes,))
    })
}

/// The databases of the guest's app.
fn databases(store: &mut Context<'_>, label: &str) -> Result<Arc<AppDatabases>, SqlError> {
    let guest = store.data_mut();
    guest.look();
    let not_named = || SqlError::NotNamed { label: label.to_owned() };
    guest.databases().cloned().ok_or_else(not_named)
}

fn open(store: &mut Context<'_>, label: &WasmStr) -> Done<Handle> {
    let label: String = label.to_str(&*store)?.chars().take(64).collect();
    open_named(store, &label)
}

fn open_named(store: &mut Context<'_>, label: &str) -> Done<Handle> {
    let opened = databases(store, label).and_then(|databases| databases.open(label));
    Ok(match opened {
        Ok(opened) => {
            let handle = DatabaseHandle::new(opened);
            Ok(store.data_mut().table.push(handle)?)
        }
        Err(error) => Err(error),
    })
}

fn opened(
    store: &mut Context<'_>,
    handle: &Handle,
) -> wasmtime::Result<Arc<Mutex<OpenedDatabase>>> {
    Ok(store.data_mut().resources().get(handle)?.0.clone())
}

/// Runs a statement, and waits for its end.
async fn execute(
    store: &mut Context<'_>,
    handle: &Handle,
    text: &WasmStr,
    values: Vec<SpinValue>,
) -> Done<SqlAnswer> {
    let opened = opened(store, handle)?;
    let statement = text.to_str(&*store)?;
    if let Err(refusal) = check_statement(&statement) {
        return Ok(Err(refusal.into()));
    }
    let parameters = values.into_iter().map(SqlValue::from).collect();
    let question = SqlQuestion { statement: statement.into_owned(), parameters };
    let databases = match databases(store, "") {
        Ok(databases) => databases,
        Err(error) => return Ok(Err(error)),
    };
    let answer = {
        // The guest must not go on without it, so it says no more than once that it waits.
        let time = store.data_mut().outbound.time().cloned();
        let mut waited_for = time.map(|time| WaitedFor::new(time, Phase::Store));
        if let Some(waited_for) = &mut waited_for {
            waited_for.set(true);
        }
        databases.execute(&mut *opened.lock().await, question).await
    };
    let n_bytes = answer.as_ref().map_or(0, |answer| answer.n_bytes);
    weigh(store, n_bytes);
    Ok(answer)
}

/// Weighs what is held here until the guest has it: it is in no resource.
fn weigh(store: &mut Context<'_>, n_bytes: usize) {
    if n_bytes >= LARGE {
        let guest = store.data_mut();
        guest.holds_more(n_bytes);
        guest.look();
        pace::look_soon();
    }
}

/// What a function returns to its guest. Where that says little, the app's log says more: an interface that knows
/// `database-full` alone cannot tell a developer how full.
fn told<T>(store: &mut Context<'_>, done: Result<T, SqlError>) -> Result<T, SpinSqlError> {
    done.map_err(|error| {
        let is_short = matches!(
            error,
            SqlError::NotNamed { .. }
                | SqlError::Full { .. }
                | SqlError::Unusable(_)
                | SqlError::Refused(SqlRefusal::ManyConnections { .. })
        );
        if is_short {
            store.data_mut().stdio.note(&format!("sqlite: {error}"));
        }
        error.into()
    })
}

impl From<SpinValue> for SqlValue {
    fn from(value: SpinValue) -> Self {
        match value {
            SpinValue::Integer(number) => Self::Integer(number),
            SpinValue::Real(number) => Self::Real(number),
            SpinValue::Text(text) => Self::Text(text),
            SpinValue::Blob(bytes) => Self::Blob(bytes),
            SpinValue::Null => Self::Null,
        }
    }
}

impl From<SqlValue> for SpinValue {
    fn from(value: SqlValue) -> Self {
        match value {
            SqlValue::Integer(number) => Self::Integer(number),
            SqlValue::Real(number) => Self::Real(number),
            SqlValue::Text(text) => Self::Text(text),
            SqlValue::Blob(bytes) => Self::Blob(bytes),
            SqlValue::Null => Self::Null,
        }
    }
}

impl From<SqlAnswer> for SpinAnswer {
    fn from(answer: SqlAnswer) -> Self {
        Self { columns: answer.columns, rows: rows_of(answer.rows) }
    }
}

fn rows_of(rows: Vec<Vec<SqlValue>>) -> Vec<SpinRow> {
    let row =
        |values: Vec<SqlValue>| SpinRow { values: values.into_iter().map(Into::into).collect() };
    rows.into_iter().map(row).collect()
}
