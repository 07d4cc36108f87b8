//! The rules of SQL databases: how large one may be, what a statement may be, bring, take and answer, and which
//! parts of SQL reach beyond an app's own file.
//! Does not know where databases are, nor the engine. What was used so far is an argument.

use std::time::Duration;

use crate::quote::Quoted;
use crate::units::{Bytes, show_duration};

mod allowed;

pub use self::allowed::{PragmaRule, is_function_allowed, is_module_allowed, pragma_rule};

/// The most databases of one app.
pub const MOST_DATABASES: usize = 4;
/// What one database may take where nobody says how much.
pub const DEFAULT_QUOTA: Bytes = Bytes::mebi(64);
/// A database grows by pages of so many bytes.
pub const BYTES_A_PAGE: u64 = 4 << 10;
/// The most bytes of a statement's text.
pub const LONGEST_STATEMENT: usize = 256 << 10;
/// The most parameters of a statement.
pub const MOST_PARAMETERS: usize = 1_000;
/// The most bytes of a text or a blob that a statement brings.
pub const LARGEST_VALUE: usize = 1 << 20;
/// The most bytes of a row, and of a value that is computed. What one function of SQL does cannot be interrupted, so
/// it must not have much to do it with.
pub const LARGEST_ROW: usize = LARGEST_VALUE + (64 << 10);
/// The most bytes of the rows of one answer, each value counted with what it takes beside its bytes.
pub const MOST_BYTES_OF_ROWS: usize = 4 << 20;
/// What a value, and a row, takes beside its bytes.
pub const BESIDE: usize = 24;
/// The most steps of the engine for one statement: some seconds. Counted as well as time, since it does not depend on
/// the machine.
pub const MOST_STEPS: u64 = 500_000_000;
/// The most CPU time of one statement.
pub const MOST_CPU: Duration = Duration::from_secs(10);
/// What the engine may hold in memory for one connection, sorting and grouping included.
pub const MOST_MEMORY: usize = 32 << 20;
/// How long a statement waits for a lock that another transaction has.
pub const LONGEST_LOCK: Duration = Duration::from_secs(5);

/// Why a statement is not done, or not done to its end, where that is for the app to change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SqlRefusal {
    /// The text is too long.
    #[error("the statement has {0} bytes: at most {LONGEST_STATEMENT} are allowed")]
    LongStatement(usize),
    /// It brings too many parameters.
    #[error("the statement brings {0} parameters: at most {MOST_PARAMETERS} are allowed")]
    ManyParameters(usize),
    /// One of them is too large.
    #[error("parameter {number} has {bytes} bytes: at most {LARGEST_VALUE} are allowed")]
    LargeParameter {
        /// Which, counted from 1.
        number: usize,
        /// How large it is.
        bytes: usize,
    },
    /// It has places for other than were brought.
    #[error("the statement has places for {wanted} parameters, and {brought} were brought")]
    OtherParameters {
        /// How many places there are.
        wanted: usize,
        /// How many came.
        brought: usize,
    },
    /// There is more than one statement.
    #[error("there is more than one statement: send one at a time")]
    SeveralStatements,
    /// There is none.
    #[error("there is no statement")]
    NoStatement,
    /// What it answers is too much.
    #[error("the rows have more than {MOST_BYTES_OF_ROWS} bytes: ask for fewer with LIMIT")]
    LargeAnswer,
    /// A value or a row is too large for the engine.
    #[error("a value or a row would have more than {LARGEST_ROW} bytes, which is the most")]
    LargeRow,
    /// It took too many steps.
    #[error(
        "the statement was ended after {MOST_STEPS} steps, which is the most: give it an index, or have it look at \
         fewer rows"
    )]
    ManySteps,
    /// It took too much time.
    #[error(
        "the statement was ended after {} of CPU time, which is the most: give it an index, or have it look at \
         fewer rows",
        show_duration(MOST_CPU)
    )]
    MuchTime,
    /// It would hold too much in memory.
    #[error(
        "the statement needs more memory than the {MOST_MEMORY} bytes of a connection, or than this host has left \
         for all: sort or group fewer rows, or have an index do it"
    )]
    MuchMemory,
    /// It reaches beyond the app's file.
    #[error("{} is not allowed: a database is one file of its app, and nothing else is in reach", Quoted(.0))]
    NotAllowed(String),
    /// Another transaction has the lock.
    #[error(
        "the database is locked: another transaction has written for {}, or since this one began to read",
        show_duration(LONGEST_LOCK)
    )]
    Locked,
    /// Much was written that cannot be put into the file yet.
    #[error(
        "what was written waits for transactions that still read, and has more than {0} bytes: end those first"
    )]
    MuchWaiting(u64),
    /// Too many connections of the app, or of the host, are in use.
    #[error("too many connections are in use: {most} of {whose}")]
    ManyConnections {
        /// How many there may be.
        most: usize,
        /// Of whom.
        whose: &'static str,
    },
}

/// How many pages a database of so many bytes has: one at least, since there is none without.
#[must_use]
pub fn most_pages(quota: Bytes) -> u32 {
    u32::try_from(quota.get() / BYTES_A_PAGE).unwrap_or(u32::MAX - 1).max(1)
}

/// Whether a text can be a statement.
///
/// # Errors
/// It is too long.
pub fn check_statement(text: &str) -> Result<(), SqlRefusal> {
    if text.len() <= LONGEST_STATEMENT {
        return Ok(());
    }
    Err(SqlRefusal::LongStatement(text.len()))
}

/// Whether parameters of these sizes can be brought along.
///
/// # Errors
/// There are too many, or one is too large.
pub fn check_parameters(sizes: impl ExactSizeIterator<Item = usize>) -> Result<(), SqlRefusal> {
    if sizes.len() > MOST_PARAMETERS {
        return Err(SqlRefusal::ManyParameters(sizes.len()));
    }
    for (index, bytes) in sizes.enumerate() {
        if bytes > LARGEST_VALUE {
            return Err(SqlRefusal::LargeParameter { number: index + 1, bytes });
        }
    }
    Ok(())
}

/// What one statement has taken so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StatementSpent {
    /// Steps of the engine.
    pub steps: u64,
    /// CPU time.
    pub cpu: Duration,
}

impl StatementSpent {
    /// Whether it may take more.
    ///
    /// # Errors
    /// It has taken the most that it may.
    pub fn check(&self) -> Result<(), SqlRefusal> {
        if self.steps >= MOST_STEPS {
            return Err(SqlRefusal::ManySteps);
        }
        if self.cpu >= MOST_CPU {
            return Err(SqlRefusal::MuchTime);
        }
        Ok(())
    }
}

/// What the rows of an answer take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AnswerSize(usize);

impl AnswerSize {
    /// Another row, or the names of the columns.
    ///
    /// # Errors
    /// The answer is too large with it.
    pub fn add_row(&mut self) -> Result<(), SqlRefusal> {
        self.add(0)
    }

    /// Another value of so many bytes.
    ///
    /// # Errors
    /// The answer is too large with it.
    pub fn add(&mut self, bytes: usize) -> Result<(), SqlRefusal> {
        self.0 = self.0.saturating_add(bytes).saturating_add(BESIDE);
        if self.0 <= MOST_BYTES_OF_ROWS { Ok(()) } else { Err(SqlRefusal::LargeAnswer) }
    }

    /// How many bytes there are so far.
    #[must_use]
    pub fn bytes(self) -> usize {
        self.0
    }
}

#[cfg(test)]
mod tests;
