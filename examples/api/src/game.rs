//! The rules of noughts and crosses.
//!
//! It knows nothing of HTTP or JSON beyond how a mark is spelled.

use std::{fmt, str::FromStr};

use serde::Serialize;

const LINES: [[usize; 3]; 8] =
    [[0, 1, 2], [3, 4, 5], [6, 7, 8], [0, 3, 6], [1, 4, 7], [2, 5, 8], [0, 4, 8], [2, 4, 6]];

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mark {
    X,
    O,
}

/// A board that can come about by turns.
#[derive(Clone, Default)]
pub struct Game {
    squares: [Option<Mark>; 9],
}

impl Game {
    /// Whose turn it is; nobody's when the game is over.
    pub fn next(&self) -> Option<Mark> {
        if self.winner().is_some() {
            return None;
        }
        let n_marks = self.squares.iter().flatten().count();
        match (n_marks, n_marks % 2) {
            (9, _) => None,
            (_, 0) => Some(Mark::X),
            _ => Some(Mark::O),
        }
    }

    pub fn winner(&self) -> Option<Mark> {
        LINES.iter().find_map(|&[a, b, c]| {
            let mark = self.squares[a]?;
            (self.squares[b] == Some(mark) && self.squares[c] == Some(mark)).then_some(mark)
        })
    }

    /// The game after the next mark goes there.
    pub fn play(&self, square: usize) -> Result<Self, String> {
        let mark = self.next().ok_or("the game is over")?;
        let mut after = self.clone();
        match after.squares.get_mut(square) {
            Some(free @ None) => *free = Some(mark),
            Some(Some(_)) => return Err(format!("square {square} is taken")),
            None => return Err(format!("square {square} is not one of 0 to 8")),
        }
        Ok(after)
    }

    /// Each move that can follow, and the game after it.
    pub fn moves(&self) -> impl Iterator<Item = (usize, Self)> {
        (0..9).filter_map(|square| Some((square, self.play(square).ok()?)))
    }
}

impl fmt::Display for Game {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for square in self.squares {
            f.write_str(match square {
                Some(Mark::X) => "x",
                Some(Mark::O) => "o",
                None => "-",
            })?;
        }
        Ok(())
    }
}

impl FromStr for Game {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut game = Self::default();
        if text.len() != game.squares.len() {
            return Err("a board is nine of x, o and -");
        }
        for (square, letter) in game.squares.iter_mut().zip(text.bytes()) {
            *square = match letter {
                b'x' => Some(Mark::X),
                b'o' => Some(Mark::O),
                b'-' => None,
                _ => return Err("a board is nine of x, o and -"),
            };
        }
        let count = |mark| game.squares.iter().flatten().filter(|own| **own == mark).count();
        // X begins, so it is level or one ahead.
        match count(Mark::X).checked_sub(count(Mark::O)) {
            Some(0 | 1) => Ok(game),
            _ => Err("x and o take turns, and x begins"),
        }
    }
}
