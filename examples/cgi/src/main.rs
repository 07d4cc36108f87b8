//! Counts words. A program as one would write it for a shell: it reads standard input, looks at its
//! environment, and prints.
//!
//! It uses no SDK and no crate. CGI (RFC 3875) is what makes it a service: the request arrives in
//! the environment and on standard input, and a header and an empty line precede the answer.

use std::{
    collections::HashMap,
    env,
    io::{self, Write as _},
};

const N_SHOWN: usize = 10;

fn main() -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    if env::var("REQUEST_METHOD").as_deref() == Ok("GET") {
        writeln!(out, "Content-Type: text/plain; charset=utf-8\n")?;
        writeln!(out, "POST a text here and have its words counted.")?;
        return out.flush();
    }
    let Ok(text) = io::read_to_string(io::stdin().lock()) else {
        writeln!(out, "Status: 400 Bad Request\nContent-Type: text/plain\n")?;
        writeln!(out, "that is not a text")?;
        return out.flush();
    };
    writeln!(out, "Content-Type: text/plain; charset=utf-8\n")?;
    let words: Vec<String> = words(&text).collect();
    writeln!(out, "{} lines, {} words, {} bytes", text.lines().count(), words.len(), text.len())?;
    for (word, n_times) in most_frequent(words) {
        writeln!(out, "{n_times:7} {word}")?;
    }
    out.flush()
}

fn words(text: &str) -> impl Iterator<Item = String> {
    let words = text.split(|letter: char| !letter.is_alphanumeric() && letter != '\'');
    words.filter(|word| !word.is_empty()).map(str::to_lowercase)
}

/// The words that occur most, most often first, ties by alphabet.
fn most_frequent(words: Vec<String>) -> Vec<(String, usize)> {
    let mut counts = HashMap::new();
    for word in words {
        *counts.entry(word).or_insert(0) += 1;
    }
    let mut counts: Vec<(String, usize)> = counts.into_iter().collect();
    counts.sort_by(|(word, n), (other_word, other_n)| other_n.cmp(n).then(word.cmp(other_word)));
    counts.truncate(N_SHOWN);
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_counted_whatever_their_case() {
        let counts = most_frequent(words("The cat and the dog, and THE end").collect());
        let top: Vec<_> = counts.iter().map(|(word, n)| format!("{word} {n}")).collect();
        assert_eq!(top, ["the 3", "and 2", "cat 1", "dog 1", "end 1"]);
    }
}
