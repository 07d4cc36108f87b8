//! Runs one statement on the connection of this thread, in slices, until its answer, its bounds or its call's end.
//! Does not open connections.

use std::cell::RefCell;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::fallible_iterator::FallibleIterator as _;
use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Batch, Connection, Statement};
use steerage_core::sql::{AnswerSize, LONGEST_LOCK, SqlRefusal, StatementSpent};

use super::answer::{SqlAnswer, SqlQuestion, SqlValue};
use super::error::SqlError;
use super::open::{DatabaseFile, forget_refused};
use super::place;
use super::turns::{SLICE, SqlTurns};
use crate::meter;

/// Steps of the engine between two looks at the time: some ten microseconds.
const STEPS_EACH: i32 = 1_000;
/// What may be written and not be in the file yet, beside as much as the file may have: a reader keeps the engine from
/// putting it there.
const MOST_WAITING: u64 = 16 << 20;
/// How long is waited for a lock at once; each time twice as long, up to the second.
const FIRST_REST: Duration = Duration::from_millis(1);
const LONGEST_REST: Duration = Duration::from_millis(32);

pub(super) type Told = Result<SqlAnswer, SqlError>;

/// The statement at hand.
struct Running {
    turns: Arc<SqlTurns<Told>>,
    spent: StatementSpent,
    has_turn: bool,
    /// For what the engine was told to end it.
    why: Option<SqlError>,
}

/// What ends a statement: the engine, or we.
enum Ended {
    ByEngine(rusqlite::Error),
    ByUs(SqlError),
}

thread_local! {
    static RUNNING: RefCell<Option<Running>> = const { RefCell::new(None) };
}

/// Has the engine ask here while it runs statements on this connection.
pub(super) fn watch(connection: &mut Connection) -> rusqlite::Result<()> {
    connection.progress_handler(STEPS_EACH, Some(|| with_running(Running::must_end)))?;
    connection.busy_handler(Some(|n_before| with_running(|it| it.waits_for_lock(n_before))))?;
    connection.commit_hook(Some(|| {
        // The disk is waited for without a turn.
        with_running(|it| {
            it.pause();
            false
        })
    }))
}

fn with_running(work: impl FnOnce(&mut Running) -> bool) -> bool {
    RUNNING.with_borrow_mut(|running| running.as_mut().is_some_and(work))
}

/// Runs a statement; says what it used since the last turn ended, and what came of it.
pub(super) fn run(
    connection: &mut Option<Connection>,
    file: &DatabaseFile,
    question: &SqlQuestion,
    turns: &Arc<SqlTurns<Told>>,
) -> (Duration, Told) {
    if !turns.begin() {
        return (Duration::ZERO, Err(SqlError::Stopped));
    }
    meter::begin();
    forget_refused();
    let running = Running {
        turns: turns.clone(),
        spent: StatementSpent::default(),
        has_turn: true,
        why: None,
    };
    RUNNING.set(Some(running));
    let told = opened(connection, file).and_then(|connection| {
        answer(connection, file, question).map_err(|ended| {
            let why = RUNNING.with_borrow_mut(|it| it.as_mut().and_then(|it| it.why.take()));
            match ended {
                Ended::ByUs(error) => error,
                Ended::ByEngine(error) => file.fault(&error, why),
            }
        })
    });
    RUNNING.set(None);
    (meter::end(), told)
}

fn opened<'c>(
    held: &'c mut Option<Connection>,
    file: &DatabaseFile,
) -> Result<&'c mut Connection, SqlError> {
    if held.is_none() {
        let mut connection = file.open()?;
        watch(&mut connection).map_err(|error| file.fault(&error, None))?;
        *held = Some(connection);
    }
    held.as_mut().ok_or(SqlError::Lost)
}

fn answer(
    connection: &Connection,
    file: &DatabaseFile,
    question: &SqlQuestion,
) -> Result<SqlAnswer, Ended> {
    if question.statement.contains('\0') {
        return Err(SqlError::Statement("the statement has a zero byte in it".to_owned()).into());
    }
    let mut batch = Batch::new(connection, &question.statement);
    let mut statement = batch.next()?.ok_or(SqlRefusal::NoStatement)?;
    // What follows may be wrong before this one is done, and is not looked at further.
    if !matches!(batch.next(), Ok(None)) {
        return Err(SqlRefusal::SeveralStatements.into());
    }
    let (wanted, brought) = (statement.parameter_count(), question.parameters.len());
    if wanted != brought {
        return Err(SqlRefusal::OtherParameters { wanted, brought }.into());
    }
    for (index, value) in question.parameters.iter().enumerate() {
        statement.raw_bind_parameter(index + 1, value)?;
    }
    let writes = !statement.readonly();
    if writes {
        check_waiting(&file.path, file.quota.get())?;
    }
    // One that answers rows is done before the first of them is read: it must not be, if they turn out too many.
    let is_guarded = writes && statement.column_count() > 0 && connection.is_autocommit();
    if is_guarded {
        connection.execute_batch("BEGIN IMMEDIATE")?;
    }
    let done = rows(&mut statement);
    drop(statement);
    let mut answer = match done {
        Ok(answer) => {
            if is_guarded {
                connection.execute_batch("COMMIT")?;
            }
            answer
        }
        Err(ended) => {
            if is_guarded && !connection.is_autocommit() {
                connection.execute_batch("ROLLBACK")?;
            }
            return Err(ended);
        }
    };
    answer.changes = connection.changes();
    answer.last_insert_rowid = connection.last_insert_rowid();
    Ok(answer)
}

fn check_waiting(file: &Path, quota: u64) -> Result<(), SqlRefusal> {
    let most = quota.saturating_add(MOST_WAITING);
    if place::waiting_bytes(file) <= most { Ok(()) } else { Err(SqlRefusal::MuchWaiting(most)) }
}

fn rows(statement: &mut Statement<'_>) -> Result<SqlAnswer, Ended> {
    let mut size = AnswerSize::default();
    let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
    columns.iter().try_for_each(|name| size.add(name.len()))?;
    let mut all = Vec::new();
    let mut rows = statement.raw_query();
    while let Some(row) = rows.next()? {
        size.add_row()?;
        let mut values = Vec::with_capacity(columns.len());
        for (index, name) in columns.iter().enumerate() {
            values.push(value(row.get_ref(index)?, name, &mut size)?);
        }
        all.push(values);
    }
    Ok(SqlAnswer { columns, rows: all, n_bytes: size.bytes(), ..SqlAnswer::default() })
}

fn value(found: ValueRef<'_>, column: &str, size: &mut AnswerSize) -> Result<SqlValue, SqlError> {
    let (ValueRef::Text(bytes) | ValueRef::Blob(bytes)) = found else {
        size.add(0)?;
        return Ok(match found {
            ValueRef::Integer(number) => SqlValue::Integer(number),
            ValueRef::Real(number) => SqlValue::Real(number),
            _ => SqlValue::Null,
        });
    };
    size.add(bytes.len())?;
    if matches!(found, ValueRef::Blob(_)) {
        return Ok(SqlValue::Blob(bytes.to_vec()));
    }
    let text = String::from_utf8(bytes.to_vec());
    text.map(SqlValue::Text).map_err(|_| {
        let told =
            format!("the text in column {column} is not UTF-8: read it by CAST(... AS BLOB)");
        SqlError::Statement(told)
    })
}

impl Running {
    /// Called after every so many steps: whether the statement must end.
    fn must_end(&mut self) -> bool {
        self.spent.steps = self.spent.steps.saturating_add(STEPS_EACH.unsigned_abs().into());
        if self.turns.is_stopped() {
            return self.ends(SqlError::Stopped);
        }
        if !self.has_turn || meter::passed() >= SLICE {
            let used = meter::end();
            self.spent.cpu = self.spent.cpu.saturating_add(used);
            self.has_turn = true;
            let goes_on = self.turns.take(used);
            meter::begin();
            if !goes_on {
                return self.ends(SqlError::Stopped);
            }
        }
        self.spent.check().is_err_and(|refusal| self.ends(refusal.into()))
    }

    fn ends(&mut self, why: SqlError) -> bool {
        self.why = Some(why);
        true
    }

    /// Called when another connection has the lock; whether it is to be tried again.
    fn waits_for_lock(&mut self, n_before: i32) -> bool {
        let n_before = u32::try_from(n_before).unwrap_or(0);
        let rest = |n| FIRST_REST.saturating_mul(1 << u32::min(n, 10)).min(LONGEST_REST);
        let waited: Duration = (0..n_before.min(1_000)).map(rest).sum();
        if waited >= LONGEST_LOCK {
            return false;
        }
        self.pause();
        let goes_on = self.turns.rest(rest(n_before));
        meter::begin();
        if !goes_on {
            self.why = Some(SqlError::Stopped);
        }
        goes_on
    }

    /// What comes now waits for something.
    fn pause(&mut self) {
        let used = meter::end();
        self.spent.cpu = self.spent.cpu.saturating_add(used);
        self.has_turn = false;
        self.turns.pause(used);
        meter::begin();
    }
}

impl From<rusqlite::Error> for Ended {
    fn from(error: rusqlite::Error) -> Self {
        Self::ByEngine(error)
    }
}

impl From<SqlError> for Ended {
    fn from(error: SqlError) -> Self {
        Self::ByUs(error)
    }
}

impl From<SqlRefusal> for Ended {
    fn from(refusal: SqlRefusal) -> Self {
        Self::ByUs(refusal.into())
    }
}

impl ToSql for SqlValue {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Integer(number) => ValueRef::Integer(*number),
            Self::Real(number) => ValueRef::Real(*number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Blob(bytes) => ValueRef::Blob(bytes),
        }))
    }
}
