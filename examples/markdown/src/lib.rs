//! A Markdown renderer: POST it a text, and it answers with a page.
//!
//! It renders what GitHub does (tables, footnotes, task lists, strikethrough). Raw HTML in the text
//! is shown, not passed on: the page must be safe to look at whoever wrote the text.

use pulldown_cmark::{Event, Options, Parser, html};
use steerage_sdk::{
    HeaderValue, Params, Request, Response, Result, Router, get, handler, header, post,
};

static ROUTES: Router = Router::new(&[
    get("/markdown", form),
    post("/markdown", render),
    get("/markdown/readme", readme),
]);

const FORM: &str = "<!doctype html>\n<meta charset=utf-8>\n<title>Markdown</title>\n\
<textarea id=text rows=12 cols=72># Write *something*</textarea>\n<div id=page></div>\n<script>\n\
const draw = async () => page.innerHTML = await (await fetch('', {method: 'POST', body: text.value})).text();\n\
text.oninput = draw; draw();\n</script>\n";

#[handler]
fn serve(request: Request) -> Result {
    ROUTES.serve(request)
}

fn form(_request: Request, _params: Params) -> Result {
    Ok(page(FORM.to_owned()))
}

fn render(request: Request, _params: Params) -> Result {
    Ok(page(to_html(&request.into_body().text()?)))
}

fn readme(_request: Request, _params: Params) -> Result {
    Ok(page(to_html(include_str!("../README.md"))))
}

fn page(html: String) -> Response {
    let mut response = Response::new(html.into());
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, html);
    response
}

fn to_html(markdown: &str) -> String {
    let options = Options::ENABLE_TABLES
        | Options::ENABLE_FOOTNOTES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_TASKLISTS;
    let events = Parser::new_ext(markdown, options).map(|event| match event {
        Event::Html(raw) | Event::InlineHtml(raw) => Event::Text(raw),
        other => other,
    });
    let mut page = String::with_capacity(markdown.len() * 3 / 2);
    html::push_html(&mut page, events);
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_rendered_and_raw_html_is_shown() {
        let page = to_html("| a |\n|---|\n| ~~b~~ |\n\n<script>alert()</script>\n");
        assert!(page.contains("<td><del>b</del></td>"), "{page}");
        assert!(page.contains("&lt;script&gt;"), "{page}");
    }
}
