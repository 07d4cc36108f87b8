//! A flame graph as SVG: each box is a function, as wide as its part of the CPU time, upon the one that called it.
//! Needs no script: what a box stands for is shown where the pointer rests on it, and read by screen readers.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::stacks::Profile;
use crate::xml::escaped;

/// Pixels.
const WIDTH: f64 = 1200.0;
const ROW: f64 = 18.0;
const ABOVE: f64 = 44.0;
/// A letter of the text is about so wide.
const LETTER: f64 = 6.6;
/// What is narrower is not drawn.
const NARROWEST: f64 = 0.3;

/// A function where it was called from.
#[derive(Debug, Default)]
struct Node<'p> {
    /// Samples now, and before.
    number: u64,
    before: u64,
    called: BTreeMap<&'p str, Self>,
}

/// One box.
struct FlameBox<'p> {
    name: &'p str,
    x: f64,
    width: f64,
    depth: usize,
    part: f64,
    grown: Option<f64>,
}

/// The graph. With a profile of before, what takes a larger part than then is red, and a smaller one blue.
#[must_use]
pub fn flame_graph(title: &str, profile: &Profile, before: Option<&Profile>) -> String {
    let mut root = Node::default();
    for (stack, number) in profile.whole() {
        root.add(&stack, |node| node.number += number);
    }
    for (stack, number) in before.into_iter().flat_map(Profile::whole) {
        root.add(&stack, |node| node.before += number);
    }
    let (all, all_before) = (root.number.max(1), before.map(|_| root.before.max(1)));
    let mut boxes = Vec::new();
    lay_out(&root, (0.0, 0), (all, all_before), &mut boxes);
    let n_rows = boxes.iter().map(|of| of.depth + 1).max().unwrap_or(0);
    let height = ABOVE + ROW * n_rows as f64 + 8.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         viewBox=\"0 0 {WIDTH} {height}\" font-family=\"monospace\" font-size=\"11\" role=\"img\">\n\
         <title>{0}</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"8\" y=\"20\" font-size=\"14\">{0}</text>\n",
        escaped(title)
    );
    for of in &boxes {
        draw(&mut svg, of, height);
    }
    svg.push_str("</svg>\n");
    svg
}

impl<'p> Node<'p> {
    /// Does something to each node of a stack.
    fn add(&mut self, stack: &[&'p str], to: impl Fn(&mut Self)) {
        let mut node = self;
        to(node);
        for name in stack {
            node = node.called.entry(name).or_default();
            to(node);
        }
    }
}

/// Lays out what a node called, from this x on. No deeper than the stacks that are kept.
fn lay_out<'p>(
    node: &Node<'p>,
    (mut x, depth): (f64, usize),
    (all, all_before): (u64, Option<u64>),
    boxes: &mut Vec<FlameBox<'p>>,
) {
    for (name, called) in &node.called {
        let part = called.number as f64 / all as f64;
        let width = part * WIDTH;
        if width >= NARROWEST {
            let grown = all_before.map(|all| part - called.before as f64 / all as f64);
            boxes.push(FlameBox { name, x, width, depth, part, grown });
            lay_out(called, (x, depth + 1), (all, all_before), boxes);
        }
        x += width;
    }
}

fn draw(svg: &mut String, of: &FlameBox<'_>, height: f64) {
    let y = height - 4.0 - ROW * (of.depth + 1) as f64;
    let name = escaped(of.name);
    let grown = of.grown.map_or_else(String::new, |grown| format!(", {:+.1}", grown * 100.0));
    let colour = of.grown.map_or_else(|| warm(of.name), changed);
    let (x, width, text_y) = (of.x, of.width, y + 12.5);
    // Writing to a string does not fail.
    write!(
        svg,
        "<g><title>{name}: {:.1} %{grown}</title>\
         <rect x=\"{x:.2}\" y=\"{y:.1}\" width=\"{width:.2}\" height=\"{:.1}\" rx=\"1\" fill=\"{colour}\"/>",
        of.part * 100.0,
        ROW - 1.0,
    )
    .ok();
    let n_letters = ((width - 6.0) / LETTER).floor();
    if n_letters >= 3.0 {
        // So many that fit, as a number below a thousand.
        let shown: String =
            shortened(of.name, (1..1000).take_while(|n| f64::from(*n) <= n_letters).count());
        write!(svg, "<text x=\"{:.2}\" y=\"{text_y:.1}\">{}</text>", x + 3.0, escaped(&shown)).ok();
    }
    svg.push_str("</g>\n");
}

/// As many letters of a name as there is room for.
fn shortened(name: &str, n_letters: usize) -> String {
    if name.chars().count() <= n_letters {
        return name.to_owned();
    }
    let kept = name.chars().take(n_letters.saturating_sub(2));
    kept.chain("..".chars()).collect()
}

/// A colour between yellow and red, the same for the same name.
fn warm(name: &str) -> String {
    let hash =
        name.bytes().fold(7_u32, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte.into()));
    format!("hsl({} 85% {}%)", 15 + hash % 40, 62 + hash / 64 % 12)
}

/// Red for what takes more than before, blue for what takes less; ten parts of a hundred are all of it.
fn changed(grown: f64) -> String {
    let hue = if grown > 0.0 { 10 } else { 215 };
    let strength = (grown.abs() * 10.0).min(1.0);
    format!("hsl({hue} 85% {:.0}%)", 94.0 - 34.0 * strength)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::stacks::of;

    #[test]
    fn boxes_are_as_wide_as_their_part_and_stand_on_who_called_them() {
        let svg = flame_graph("web", &of(&[("main;sort", 3), ("main;hash", 1)]), None);
        for part in [
            "<title>main: 100.0 %</title><rect x=\"0.00\" y=\"66.0\" width=\"1200.00\"",
            "<title>hash: 25.0 %</title><rect x=\"0.00\" y=\"48.0\" width=\"300.00\"",
            "<title>sort: 75.0 %</title><rect x=\"300.00\" y=\"48.0\" width=\"900.00\"",
        ] {
            assert!(svg.contains(part), "no {part:?} in {svg}");
        }
    }

    #[test]
    fn what_grew_is_told_in_parts_of_all() {
        let (before, now) = (of(&[("main;sort", 1), ("main", 1)]), of(&[("main;sort", 3)]));
        let svg = flame_graph("web", &now, Some(&before));
        assert!(svg.contains("<title>sort: 100.0 %, +50.0</title>"), "{svg}");
        assert!(svg.contains("<title>main: 100.0 %, +0.0</title>"), "{svg}");
    }

    #[test]
    fn a_name_is_no_markup() {
        let svg = flame_graph("<&\u{1}", &of(&[("</title><script>\"\u{1b}\u{ffff}", 1)]), None);
        assert!(!svg.contains("<script") && !svg.contains('\u{1b}') && !svg.contains('\u{ffff}'));
        assert!(svg.contains("&lt;/title&gt;&lt;script&gt;&quot;"), "{svg}");
        assert!(svg.contains("<title>&lt;&amp;\u{fffd}</title>"), "{svg}");
    }

    #[test]
    fn nothing_is_a_graph_without_boxes() {
        assert!(flame_graph("web", &Profile::default(), None).ends_with("</text>\n</svg>\n"));
    }
}
