//! What statements bring and answer, as values.
//! Does none of it.

/// A value of SQL.
#[derive(Clone, Debug, PartialEq)]
pub enum SqlValue {
    /// None.
    Null,
    /// A whole number.
    Integer(i64),
    /// A number.
    Real(f64),
    /// A text.
    Text(String),
    /// Any bytes.
    Blob(Vec<u8>),
}

/// A statement and what stands for its parameters.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SqlQuestion {
    /// The statement.
    pub statement: String,
    /// The parameters, in their order.
    pub parameters: Vec<SqlValue>,
}

/// What a statement answered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SqlAnswer {
    /// The names of the columns.
    pub columns: Vec<String>,
    /// The rows, each with a value for each column.
    pub rows: Vec<Vec<SqlValue>>,
    /// What all of that takes in memory.
    pub n_bytes: usize,
    /// How many rows the last statement of the connection that changed some has changed.
    pub changes: u64,
    /// The id of the row that was inserted last on the connection; 0 where none was.
    pub last_insert_rowid: i64,
}

impl SqlValue {
    /// The bytes of a text or blob; 0 for what has none.
    #[must_use]
    pub fn n_bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Blob(bytes) => bytes.len(),
            Self::Null | Self::Integer(_) | Self::Real(_) => 0,
        }
    }
}
