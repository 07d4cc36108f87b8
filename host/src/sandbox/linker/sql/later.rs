//! What `spin:sqlite/sqlite` 3.1.0 has more: async functions, beside which other tasks of the guest run. Rows are a
//! stream, which is filled before it is returned: what an answer may be has one bound, however it is told.
//! Does not wait for statements otherwise than the rest does.

use wasmtime::AsContextMut as _;
use wasmtime::component::{Accessor, FutureReader, LinkerInstance, StreamReader};

use super::{Handle, SpinRow, SpinSqlError, SpinValue, opened, rows_of, told};
use crate::sandbox::guest::Guest;
use crate::sql::{SqlAnswer, SqlError, SqlQuestion, SqlValue};

/// The names of the columns, the rows, and how it ended.
type Rows = (Vec<String>, StreamReader<SpinRow>, FutureReader<Result<(), SpinSqlError>>);

pub(super) fn link(types: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    types.func_wrap_concurrent(
        "[static]connection.open-async",
        |guest: &Accessor<Guest>, (label,): (String,)| {
            let opened: wasmtime::Result<_> = guest.with(|mut access| {
                let mut store = access.as_context_mut();
                let opened = super::open_named(&mut store, &label)?;
                Ok(told(&mut store, opened))
            });
            Box::pin(async move { Ok((opened?,)) })
        },
    )?;
    types.func_wrap_concurrent(
        "[method]connection.execute-async",
        |guest: &Accessor<Guest>, (handle, text, values): (Handle, String, Vec<SpinValue>)| {
            Box::pin(async move {
                let answer = execute(guest, &handle, text, values).await?;
                let rows: wasmtime::Result<_> = guest.with(|mut access| {
                    let told = told(&mut access.as_context_mut(), answer);
                    let Ok(answer) = told else { return Ok(told.map(|_| None)) };
                    Ok(Ok(Some(streamed(&mut access, answer)?)))
                });
                let rows: Result<Option<Rows>, SpinSqlError> = rows?;
                Ok((rows.and_then(|rows| rows.ok_or(SpinSqlError::InvalidConnection)),))
            })
        },
    )?;
    types.func_wrap_concurrent(
        "[method]connection.last-insert-rowid-async",
        |guest: &Accessor<Guest>, (handle,): (Handle,)| {
            let opened = guest.with(|mut access| opened(&mut access.as_context_mut(), &handle));
            Box::pin(async move { Ok((opened?.lock().await.last_insert_rowid(),)) })
        },
    )?;
    types.func_wrap_concurrent(
        "[method]connection.changes-async",
        |guest: &Accessor<Guest>, (handle,): (Handle,)| {
            let opened = guest.with(|mut access| opened(&mut access.as_context_mut(), &handle));
            Box::pin(async move { Ok((opened?.lock().await.changes(),)) })
        },
    )
}

async fn execute(
    guest: &Accessor<Guest>,
    handle: &Handle,
    statement: String,
    values: Vec<SpinValue>,
) -> wasmtime::Result<Result<SqlAnswer, SqlError>> {
    let parts = guest.with(|mut access| {
        let mut store = access.as_context_mut();
        Ok::<_, wasmtime::Error>((opened(&mut store, handle)?, super::databases(&mut store, "")))
    });
    let (opened, databases) = parts?;
    let databases = match databases {
        Ok(databases) => databases,
        Err(error) => return Ok(Err(error)),
    };
    let parameters = values.into_iter().map(SqlValue::from).collect();
    let question = SqlQuestion { statement, parameters };
    let answer = databases.execute(&mut *opened.lock().await, question).await;
    let n_bytes = answer.as_ref().map_or(0, |answer| answer.n_bytes);
    guest.with(|mut access| super::weigh(&mut access.as_context_mut(), n_bytes));
    Ok(answer)
}

fn streamed(
    mut store: impl wasmtime::AsContextMut<Data = Guest>,
    answer: SqlAnswer,
) -> wasmtime::Result<Rows> {
    let rows = StreamReader::new(&mut store, rows_of(answer.rows))?;
    let end = FutureReader::new(&mut store, async { wasmtime::error::Ok(Ok(())) })?;
    Ok((answer.columns, rows, end))
}
