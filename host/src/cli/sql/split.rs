//! Where one statement of SQL ends and the next begins, and which of them belong to one transaction.
//! Does not know what they mean, nor whether they are right: the host says.

/// Text that comes bit by bit, as statements.
#[derive(Debug, Default)]
pub(super) struct StatementSplitter {
    text: String,
    /// Statements of a transaction that is not over.
    begun: Vec<String>,
}

/// What a statement is made of, as far as its end depends on it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Within {
    Nothing,
    /// A text or a name, up to this.
    Quotes(char),
    Line,
    Comment,
}

impl StatementSplitter {
    /// More of the text; those statements that are to be run together now, if any.
    pub(super) fn push(&mut self, text: &str) -> Vec<Vec<String>> {
        self.text.push_str(text);
        let mut together = Vec::new();
        while let Some(end) = end_of_first(&self.text) {
            let rest = self.text.split_off(end);
            let statement = std::mem::replace(&mut self.text, rest);
            together.extend(self.add(&statement));
        }
        together
    }

    /// The text is over; what is to be run of it yet.
    ///
    /// # Errors
    /// A transaction is not over.
    pub(super) fn end(mut self) -> Result<Option<Vec<String>>, &'static str> {
        let text = std::mem::take(&mut self.text);
        let last = self.add(&text);
        if self.begun.is_empty() {
            return Ok(last);
        }
        Err("the input ends within a transaction: nothing of that was run; end it with COMMIT;")
    }

    /// Whether more must come before anything is run.
    pub(super) fn is_within(&self) -> bool {
        !self.begun.is_empty() || !words(&self.text).is_empty()
    }

    fn add(&mut self, statement: &str) -> Option<Vec<String>> {
        let words = words(statement);
        let first = words.first().map(String::as_str)?;
        let is_within = !self.begun.is_empty();
        self.begun.push(statement.trim().to_owned());
        let begins = matches!(first, "BEGIN" | "SAVEPOINT");
        // Back to a savepoint, the transaction goes on.
        let is_back = first == "ROLLBACK" && words.iter().any(|word| word == "TO");
        let ends = matches!(first, "COMMIT" | "END" | "ROLLBACK") && !is_back;
        if (is_within && !ends) || (!is_within && begins) {
            return None;
        }
        Some(std::mem::take(&mut self.begun))
    }
}

/// Where the first statement ends that has its semicolon.
fn end_of_first(text: &str) -> Option<usize> {
    let mut from = 0;
    loop {
        let end = from + semicolon(text.get(from..)?)?;
        let words = words(text.get(..end)?);
        let is_trigger = words.first().is_some_and(|word| word == "CREATE")
            && words.iter().take(3).any(|word| word == "TRIGGER");
        // A trigger has statements within it, each with a semicolon, and ends with this word.
        if !is_trigger || words.last().is_some_and(|word| word == "END") {
            return Some(end);
        }
        from = end;
    }
}

/// The place behind the first semicolon that is in no text, name or comment.
fn semicolon(text: &str) -> Option<usize> {
    let mut found = None;
    each(text, |at, char, within| {
        if found.is_none() && within == Within::Nothing && char == ';' {
            found = Some(at + 1);
        }
    });
    found
}

/// The words outside of texts, names and comments, in capitals.
fn words(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    each(text, |_, char, within| {
        let is_word = within == Within::Nothing && (char.is_alphanumeric() || char == '_');
        match words.last_mut() {
            Some(word) if is_word => word.extend(char.to_uppercase()),
            Some(word) if !word.is_empty() => words.push(String::new()),
            _ => {}
        }
    });
    words.retain(|word| !word.is_empty());
    words
}

fn each(text: &str, mut look: impl FnMut(usize, char, Within)) {
    let mut within = Within::Nothing;
    let mut chars = text.char_indices().peekable();
    while let Some((at, char)) = chars.next() {
        let next = chars.peek().map(|(_, next)| *next);
        let before = within;
        within = match (within, char) {
            (Within::Nothing, '\'' | '"' | '`') => Within::Quotes(char),
            (Within::Nothing, '[') => Within::Quotes(']'),
            (Within::Nothing, '-') if next == Some('-') => Within::Line,
            (Within::Nothing, '/') if next == Some('*') => {
                chars.next();
                Within::Comment
            }
            (Within::Quotes(end), char) if char == end => Within::Nothing,
            (Within::Line, '\n') => Within::Nothing,
            (Within::Comment, '*') if next == Some('/') => {
                chars.next();
                Within::Nothing
            }
            (within, _) => within,
        };
        // What ends something is still of it.
        let of = if before == Within::Nothing { within } else { before };
        look(at, char, of);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> String {
        let mut splitter = StatementSplitter::default();
        let mut all: Vec<_> =
            text.split_inclusive('\n').flat_map(|line| splitter.push(line)).collect();
        match splitter.end() {
            Ok(last) => all.extend(last),
            Err(error) => all.push(vec![error.split(':').next().unwrap_or_default().to_owned()]),
        }
        all.iter().map(|together| together.join(" & ")).collect::<Vec<_>>().join(" | ")
    }

    #[test]
    fn statements_end_at_semicolons_outside_of_texts_names_and_comments() {
        assert_eq!(split("SELECT 1; SELECT 2"), "SELECT 1; | SELECT 2");
        assert_eq!(
            split("SELECT ';', \"a;b\", [;], 'it''s;';;\n"),
            "SELECT ';', \"a;b\", [;], 'it''s;';"
        );
        assert_eq!(split("SELECT 1 -- ;\n, 2 /* ; */;"), "SELECT 1 -- ;\n, 2 /* ; */;");
        assert_eq!(split("-- nothing;\n \n"), "");
    }

    #[test]
    fn a_trigger_is_one_statement() {
        let trigger = "CREATE TRIGGER t AFTER INSERT ON a BEGIN DELETE FROM b; DELETE FROM c; END;";
        assert_eq!(split(&format!("{trigger} SELECT 1;")), format!("{trigger} | SELECT 1;"));
    }

    #[test]
    fn a_transaction_is_run_as_one() {
        assert_eq!(
            split("BEGIN;\nINSERT 1;\nCOMMIT;\nSELECT 1;"),
            "BEGIN; & INSERT 1; & COMMIT; | SELECT 1;"
        );
        assert_eq!(
            split("begin; savepoint a; rollback to a; rollback; SELECT 1;"),
            "begin; & savepoint a; & rollback to a; & rollback; | SELECT 1;"
        );
        assert_eq!(split("BEGIN; INSERT 1;"), "the input ends within a transaction");
    }
}
