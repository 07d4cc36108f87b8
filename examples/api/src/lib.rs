//! Noughts and crosses as a JSON API that stores nothing: the address is the game.
//!
//! `GET /api/game/x--o-----` is that board, with the address of every move that can follow. It does
//! not play: both sides are the caller's.

mod game;

use serde::{Deserialize, Serialize};
use steerage_sdk::{
    Error, Json, Params, Request, Result, Router, StatusCode, get, handler, header, post,
};

use game::{Game, Mark};

static ROUTES: Router = Router::new(&[
    get("/api", index),
    get("/api/game/:board", show),
    post("/api/game/:board", play),
]);

#[derive(Serialize)]
struct Index {
    new_game: String,
}

#[derive(Serialize)]
struct GameView {
    board: String,
    /// Whose turn it is; nobody's when the game is over.
    next: Option<Mark>,
    winner: Option<Mark>,
    moves: Vec<MoveView>,
}

#[derive(Serialize)]
struct MoveView {
    square: usize,
    href: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Move {
    square: usize,
}

#[handler]
fn serve(request: Request) -> Result {
    ROUTES.serve(request)
}

fn index(_request: Request, _params: Params) -> Result {
    Json(Index { new_game: href(&Game::default()) }).into_response()
}

fn show(_request: Request, params: Params) -> Result {
    view(&game(&params)?).into_response()
}

/// Answers with the game after the move and, for whoever follows it, its address.
fn play(request: Request, params: Params) -> Result {
    let Move { square } = request.into_body().json()?;
    let refused = |reason| Error::new(StatusCode::CONFLICT, reason);
    let game = game(&params)?.play(square).map_err(refused)?;
    let mut response = view(&game).into_response()?;
    *response.status_mut() = StatusCode::CREATED;
    response.headers_mut().insert(header::LOCATION, href(&game).try_into()?);
    Ok(response)
}

fn game(params: &Params) -> Result<Game> {
    let board: String = params.parse("board")?;
    board.parse().map_err(Error::bad_request)
}

fn view(game: &Game) -> Json<GameView> {
    let moves = game.moves().map(|(square, after)| MoveView { square, href: href(&after) });
    Json(GameView {
        board: game.to_string(),
        next: game.next(),
        winner: game.winner(),
        moves: moves.collect(),
    })
}

fn href(game: &Game) -> String {
    format!("/api/game/{game}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(method: &str, path: &str, body: &'static str, expected: (u16, &str)) {
        let request = steerage_sdk::http::Request::builder().method(method).uri(path);
        let (status, text) = match serve(request.body(body.into()).unwrap()) {
            Ok(response) => (response.status(), response.into_body().text().unwrap()),
            Err(error) => (error.status(), error.to_string()),
        };
        assert_eq!((status.as_u16(), text.as_str()), expected);
    }

    #[test]
    fn a_game_is_its_address() {
        check("GET", "/api", "", (200, r#"{"new_game":"/api/game/---------"}"#));
        let board = r#"{"board":"xxxoo----","next":null,"winner":"x","moves":[]}"#;
        check("GET", "/api/game/xxxoo----", "", (200, board));
    }

    #[test]
    fn a_move_leads_to_the_next_address() {
        let after = r#"{"board":"xoxoxoox-","next":"x","winner":null,"moves":[{"square":8,"href":"/api/game/xoxoxooxx"}]}"#;
        check("POST", "/api/game/xoxoxo-x-", r#"{"square":6}"#, (201, after));
        check("POST", "/api/game/x--------", r#"{"square":0}"#, (409, "square 0 is taken"));
        check("GET", "/api/game/xx", "", (400, "a board is nine of x, o and -"));
    }
}
