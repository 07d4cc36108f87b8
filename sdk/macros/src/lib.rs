//! The `#[handler]` attribute of `steerage-sdk`.
//!
//! It reads no more of the function than its name: what a handler may take and return is decided by
//! traits, whose errors the compiler explains better than a macro could. So it needs no parser, and
//! a service that uses it compiles without `syn`.

use proc_macro::{Delimiter, Group, Ident, Literal, Punct, Spacing, Span, TokenStream, TokenTree};

/// Makes this function the service: the host calls it once for each request.
///
/// See the documentation of `steerage-sdk` for what it may take and return.
#[proc_macro_attribute]
pub fn handler(attribute: TokenStream, item: TokenStream) -> TokenStream {
    let export = if let Some(token) = attribute.into_iter().next() {
        Err(Mistake { span: token.span(), text: "`#[handler]` takes no arguments" })
    } else {
        function_name(item.clone()).map(|name| export(&name))
    };
    let mut output = item;
    output.extend(export.unwrap_or_else(Mistake::compile_error));
    output
}

struct Mistake {
    span: Span,
    text: &'static str,
}

impl Mistake {
    /// `::core::compile_error!{"text"}`, at the span.
    fn compile_error(self) -> TokenStream {
        let text: TokenTree = Literal::string(self.text).into();
        let body = Group::new(Delimiter::Brace, text.into());
        let mut tokens = path(&["core", "compile_error"], self.span);
        tokens.push(Punct::new('!', Spacing::Alone).into());
        tokens.push(body.into());
        for token in &mut tokens {
            token.set_span(self.span);
        }
        tokens.into_iter().collect()
    }
}

/// The name after `fn`, past attributes and visibility.
fn function_name(item: TokenStream) -> Result<Ident, Mistake> {
    let mut tokens = item.into_iter();
    while let Some(token) = tokens.next() {
        let TokenTree::Ident(word) = &token else { continue };
        match word.to_string().as_str() {
            "async" => {
                return Err(Mistake {
                    span: word.span(),
                    text: "a handler is a plain function: while it waits the host runs other calls, \
                           and `outbound::start` sends several requests at once",
                });
            }
            "fn" => {
                let Some(TokenTree::Ident(name)) = tokens.next() else { break };
                return match tokens.next() {
                    Some(TokenTree::Punct(angle)) => Err(Mistake {
                        span: angle.span(),
                        text: "a handler cannot be generic: the host calls one function",
                    }),
                    _ => Ok(name),
                };
            }
            _ => {}
        }
    }
    Err(Mistake { span: Span::call_site(), text: "`#[handler]` belongs on a function" })
}

/// `::steerage_sdk::__export!{name}`, with the caller's span on the name, so that a handler of the
/// wrong type is reported where it is written.
fn export(name: &Ident) -> TokenStream {
    let mut tokens = path(&["steerage_sdk", "__export"], Span::call_site());
    tokens.push(Punct::new('!', Spacing::Alone).into());
    let name = TokenTree::Ident(name.clone());
    tokens.push(Group::new(Delimiter::Brace, name.into()).into());
    tokens.into_iter().collect()
}

fn path(segments: &[&str], span: Span) -> Vec<TokenTree> {
    let mut tokens: Vec<TokenTree> = Vec::new();
    for segment in segments {
        tokens.push(Punct::new(':', Spacing::Joint).into());
        tokens.push(Punct::new(':', Spacing::Alone).into());
        tokens.push(Ident::new(segment, span).into());
    }
    tokens
}
