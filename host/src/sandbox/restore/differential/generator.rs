//! Components made from a seed, which change all that a call can change: memories and their sizes, globals
//! of all types, handles that stay open. What one call does depends on a number it asks for, and on all
//! that earlier calls left, if they left anything.

use std::fmt::Write as _;

use fastrand::Rng;

/// Types of globals, and how a number becomes one of each.
const TYPES: [(&str, &str); 4] = [
    ("i32", "(local.get $x)"),
    ("i64", "(i64.extend_i32_u (local.get $x))"),
    ("f32", "(f32.convert_i32_u (local.get $x))"),
    ("f64", "(f64.convert_i32_u (local.get $x))"),
];
/// The same back.
const BACK: [&str; 4] =
    ["i32.or (i32.const 0)", "i32.wrap_i64", "i32.trunc_sat_f32_u", "i32.trunc_sat_f64_u"];

/// What a step may do to its instance, with `$x` for a number that is as good as any and `$at` for a place
/// in the memory.
const STEPS: [&str; 18] = [
    "(i32.store8 $own (local.get $at) (local.get $x))",
    "(i32.store $own (local.get $at) (i32.add (i32.load $own (local.get $at)) (local.get $x)))",
    "(i64.store $own offset=8 (local.get $at) (i64.extend_i32_u (local.get $x)))",
    // A page of each row, so that written pages are many runs.
    "(i32.store8 $own (i32.and (local.get $at) (i32.const 0x7fe000)) (local.get $x))",
    "(call $note (memory.grow $own (i32.and (local.get $x) (i32.const 1))))",
    "(call $note (memory.grow $other (i32.and (local.get $x) (i32.const 1))))",
    "(i32.store8 $other (i32.and (local.get $x) (i32.const 0xfff8)) (local.get $x))",
    "(memory.fill $own (local.get $at) (local.get $x) (i32.const 100))",
    "(memory.copy $own $own (local.get $at) (i32.const 64) (i32.const 200))",
    "(memory.copy $other $own (i32.const 512) (local.get $at) (i32.const 5000))",
    "(memory.init $own $passive (local.get $at) (i32.const 1) (i32.const 6))",
    "(call $note (call_indirect (type $number) (i32.rem_u (local.get $x) (i32.const 3))))",
    "(call $note (call $fields))",
    "(call $drop_fields (call $fields))",
    "(if (global.get $kept) (then (call $drop_fields (global.get $kept)) (global.set $kept (i32.const 0)))
        (else (global.set $kept (call $fields))))",
    // A body and its stream, of which the body may go without the handle of its response.
    "(call $note (local.tee $y (call $response (call $fields))))
     (call $body (local.get $y) (i32.const 0))
     (call $stream (i32.load $other offset=4 (i32.const 0)) (i32.const 8))
     (call $note (i32.load $other offset=4 (i32.const 8)))",
    // A piece of a line, which the host keeps until the line ends.
    "(call $note (local.tee $y (call $stdout)))
     (call $write (local.get $y) (i32.const 100) (i32.and (local.get $x) (i32.const 7)) (i32.const 16))",
    "(if (i32.eqz (i32.rem_u (local.get $x) (i32.const 97))) (then unreachable))",
];
/// What cannot be put back, each of which is to be refused.
pub(super) const REFUSED: [&str; 4] = [
    "(data.drop $passive)",
    "(elem.drop $more)",
    "(table.set (i32.const 0) (ref.func $three))",
    "(table.init $more (i32.const 0) (i32.const 0) (i32.const 1))",
];

/// The component of this seed, as text, with one step more that is always among its steps.
pub(super) fn component(seed: u64, more: Option<&str>) -> String {
    let mut random = Rng::with_seed(seed);
    let globals: Vec<usize> = (0..random.usize(1..12)).map(|_| random.usize(0..4)).collect();
    let steps: Vec<&str> =
        more.into_iter().chain(STEPS.into_iter().filter(|_| random.u8(..) < 190)).collect();
    let (pages, most) = (random.u32(1..4), random.u32(4..9));
    let mut text = imports();
    write!(
        text,
        "(core module $m
            (type $number (func (result i32)))
            (import \"i\" \"fields\" (func $fields (result i32)))
            (import \"i\" \"drop-fields\" (func $drop_fields (param i32)))
            (import \"i\" \"drop-request\" (func $drop_request (param i32)))
            (import \"i\" \"response\" (func $response (param i32) (result i32)))
            (import \"i\" \"body\" (func $body (param i32 i32)))
            (import \"i\" \"stream\" (func $stream (param i32 i32)))
            (import \"i\" \"stdout\" (func $stdout (result i32)))
            (import \"i\" \"write\" (func $write (param i32 i32 i32 i32)))
            (import \"i\" \"ask\" (func $ask (result i32)))
            (import \"i\" \"say\" (func $say (param i32)))
            (import \"other\" \"memory\" (memory $other 1 4))
            (memory $own {pages} {most})
            (table 3 funcref) (elem (i32.const 0) $one $two $three)
            (elem $more func $two)
            (data $passive \"passive data\")
            (global $noted (mut i32) (i32.const {}))
            (global $kept (mut i32) (i32.const 0))
            (global $random (mut i32) (i32.const 1))
            (func $one (result i32) (global.get $noted))
            (func $two (result i32) (memory.size $own))
            (func $three (result i32) (i32.load $own (i32.const 0)))
            (func $note (param i32) (global.set $noted (i32.add (i32.mul (global.get $noted) (i32.const 31)) (local.get 0))))",
        random.u32(..)
    )
    .unwrap();
    for (n, ty) in globals.iter().enumerate() {
        let ty = TYPES[*ty].0;
        write!(text, "(global $g{n} (mut {ty}) ({ty}.const {}))", random.u16(..)).unwrap();
    }
    for _ in 0..random.u32(0..4) {
        let at = random.u32(0..pages * 65_536 - 64);
        write!(text, "(data (memory $own) (i32.const {at}) \"{:032x}\")", random.u128(..)).unwrap();
    }
    if random.bool() {
        let at = random.u32(0..60_000);
        write!(
            text,
            "(func $start (i32.store $own (i32.const {at}) (i32.const {})) (global.set $noted (i32.const {})))
             (start $start)",
            random.u32(..),
            random.u32(..)
        )
        .unwrap();
    }
    step(&mut text, &steps, &globals);
    run(&mut text, &globals, random.bool());
    text.push(')');
    text + EXPORTS
}

/// The same component inside another, behind a third that is asked first: both have a state of their own,
/// and each has its own table of handles.
pub(super) fn composed(seed: u64) -> String {
    let inside = component(seed, None).replacen("(component", "(component $inside", 1);
    let composed = format!("{HOST}{inside}{MIDDLE}{COMPOSED}");
    if seed.is_multiple_of(2) {
        return format!("(component {composed})");
    }
    // Once more inside another.
    format!(
        "(component {HOST} (component $deep {composed})
            (instance $deep (instantiate $deep {GIVEN}))
            (alias export $deep \"wasi:http/incoming-handler@0.2.0\" (instance $handler))
            (export \"wasi:http/incoming-handler@0.2.0\" (instance $handler)))"
    )
}

fn step(text: &mut String, steps: &[&str], globals: &[usize]) {
    // A number from the last one, and a place for up to 16,384 bytes in the first page.
    text.push_str(
        "(func $step (local $x i32) (local $y i32) (local $at i32)
            (global.set $random (i32.add (i32.mul (global.get $random) (i32.const 1664525)) (i32.const 1013904223)))
            (local.set $x (i32.shr_u (global.get $random) (i32.const 8)))
            (local.set $at (i32.rem_u (local.get $x) (i32.sub (i32.mul (memory.size $own) (i32.const 65536)) (i32.const 16384))))",
    );
    let n_all = steps.len() + globals.len();
    let set = |(n, ty): (usize, &usize)| {
        format!("(global.set $g{n} ({}.add (global.get $g{n}) {}))", TYPES[*ty].0, TYPES[*ty].1)
    };
    let all =
        steps.iter().map(|step| (*step).to_owned()).chain(globals.iter().enumerate().map(set));
    for (n, step) in all.enumerate() {
        write!(
            text,
            "(if (i32.eq (i32.rem_u (local.get $x) (i32.const {n_all})) (i32.const {n})) (then {step}))"
        )
        .unwrap();
    }
    text.push(')');
}

/// What a call does: asks for a number, makes so many steps, and says all that it can see of its instance.
fn run(text: &mut String, globals: &[usize], drops_request: bool) {
    text.push_str(
        "(func $sum (param $at i32) (param $end i32) (result i32) (local $sum i32)
            (loop $next
                (local.set $sum (i32.add (i32.mul (local.get $sum) (i32.const 31)) (i32.load $own (local.get $at))))
                (br_if $next (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 4))) (local.get $end))))
            (local.get $sum))
        (func $sum_other (local $at i32)
            (loop $next
                (call $note (i32.load $other (local.get $at)))
                (br_if $next (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 4)))
                    (i32.mul (memory.size $other) (i32.const 65536))))))
        (func (export \"handle\") (param $request i32) (param $out i32) (local $n i32)
            (call $note (local.get $request)) (call $note (local.get $out))
            (global.set $random (call $ask))
            (local.set $n (i32.and (global.get $random) (i32.const 31)))
            (loop $next
                (call $step)
                (br_if $next (i32.gt_s (local.tee $n (i32.sub (local.get $n) (i32.const 1))) (i32.const 0))))
            (call $say (memory.size $own)) (call $say (memory.size $other))
            (call $say (call $sum (i32.const 0) (i32.mul (memory.size $own) (i32.const 65536))))
            (call $sum_other)
            (call $say (call_indirect (type $number) (i32.const 2)))
            (call $say (global.get $kept)) (call $say (global.get $noted))",
    );
    for (n, ty) in globals.iter().enumerate() {
        write!(text, "(call $say ({} (global.get $g{n})))", BACK[*ty]).unwrap();
    }
    if drops_request {
        text.push_str("(call $drop_request (local.get $request))");
    }
    text.push_str("(call $say (call $fields)))");
}

fn imports() -> String {
    format!("(component{HOST}{OWN}")
}

const OWN: &str = r#"
    (alias export $types "fields" (type $fields))
    (alias export $types "incoming-request" (type $request))
    (alias export $types "response-outparam" (type $out))
    (core module $other (memory (export "memory") 1 4) (data (i32.const 100) "other"))
    (core instance $other (instantiate $other))
    (core func $ask (canon lower (func $calls "ask")))
    (core func $say (canon lower (func $calls "say")))
    (core func $fields (canon lower (func $types "[constructor]fields")))
    (core func $response (canon lower (func $types "[constructor]outgoing-response")))
    (core func $body (canon lower (func $types "[method]outgoing-response.body") (memory (core memory $other "memory"))))
    (core func $write (canon lower (func $types "[method]outgoing-body.write") (memory (core memory $other "memory"))))
    (core func $stdout (canon lower (func $stdout "get-stdout")))
    (core func $write_out (canon lower (func $streams "[method]output-stream.write") (memory (core memory $other "memory"))))
    (core func $drop_fields (canon resource.drop $fields))
    (core func $drop_request (canon resource.drop $request))
"#;

const EXPORTS: &str = r#"
    (core instance $m (instantiate $m
        (with "other" (instance $other))
        (with "i" (instance
            (export "fields" (func $fields)) (export "drop-fields" (func $drop_fields))
            (export "drop-request" (func $drop_request)) (export "response" (func $response))
            (export "body" (func $body)) (export "stream" (func $write))
            (export "stdout" (func $stdout)) (export "write" (func $write_out))
            (export "ask" (func $ask)) (export "say" (func $say))))))
    (func $handle (param "request" (own $request)) (param "response-out" (own $out))
        (canon lift (core func $m "handle")))
    (instance $handler (export "handle" (func $handle)))
    (export "wasi:http/incoming-handler@0.2.0" (instance $handler)))"#;

/// What all import that are not inside others.
const HOST: &str = r#"
    (import "test:host/calls" (instance $calls
        (export "ask" (func (result u32))) (export "say" (func (param "what" u32)))))
    (import "wasi:io/error@0.2.0" (instance $errors (export "error" (type (sub resource)))))
    (alias export $errors "error" (type $error))
    (import "wasi:io/streams@0.2.0" (instance $streams
        (alias outer 1 $error (type $e))
        (export "error" (type $error (eq $e)))
        (export "output-stream" (type $stream (sub resource)))
        (type $failure (variant (case "last-operation-failed" (own $error)) (case "closed")))
        (export "stream-error" (type $stream_error (eq $failure)))
        (export "[method]output-stream.write" (func (param "self" (borrow $stream)) (param "contents" (list u8)) (result (result (error $stream_error)))))))
    (alias export $streams "output-stream" (type $stream))
    (import "wasi:cli/stdout@0.2.0" (instance $stdout
        (alias outer 1 $stream (type $s))
        (export "output-stream" (type $stream (eq $s)))
        (export "get-stdout" (func (result (own $stream))))))
    (import "wasi:http/types@0.2.0" (instance $types
        (alias outer 1 $stream (type $s))
        (export "output-stream" (type $stream (eq $s)))
        (export "fields" (type $fields (sub resource)))
        (export "incoming-request" (type (sub resource)))
        (export "response-outparam" (type (sub resource)))
        (export "outgoing-response" (type $response (sub resource)))
        (export "outgoing-body" (type $body (sub resource)))
        (export "[constructor]fields" (func (result (own $fields))))
        (export "[constructor]outgoing-response" (func (param "headers" (own $fields)) (result (own $response))))
        (export "[method]outgoing-response.body" (func (param "self" (borrow $response)) (result (result (own $body)))))
        (export "[method]outgoing-body.write" (func (param "self" (borrow $body)) (result (result (own $stream)))))))
"#;

/// A component that keeps some headers and counts in a global and in its memory, says what it sees, and
/// has another one answer.
const MIDDLE: &str = r#"
    (component $middle
        (import "calls" (instance $calls
            (export "ask" (func (result u32))) (export "say" (func (param "what" u32)))))
        (import "types" (instance $types
            (export "fields" (type $fields (sub resource)))
            (export "incoming-request" (type (sub resource)))
            (export "response-outparam" (type (sub resource)))
            (export "[constructor]fields" (func (result (own $fields))))))
        (alias export $types "incoming-request" (type $request))
        (alias export $types "response-outparam" (type $out))
        (import "next" (instance $next
            (alias outer 1 $request (type $r)) (alias outer 1 $out (type $o))
            (export "handle" (func (param "request" (own $r)) (param "response-out" (own $o))))))
        (core func $ask (canon lower (func $calls "ask")))
        (core func $say (canon lower (func $calls "say")))
        (core func $fields (canon lower (func $types "[constructor]fields")))
        (core func $next (canon lower (func $next "handle")))
        (core module $m
            (import "i" "ask" (func $ask (result i32)))
            (import "i" "say" (func $say (param i32)))
            (import "i" "fields" (func $fields (result i32)))
            (import "i" "next" (func $next (param i32 i32)))
            (memory 1 3)
            (global $n (mut i32) (i32.const 5))
            (func (export "handle") (param $request i32) (param $out i32) (local $left i32)
                (call $say (local.get $request)) (call $say (local.get $out))
                (local.set $left (i32.and (call $ask) (i32.const 7)))
                (loop $more
                    (call $say (call $fields))
                    (br_if $more (i32.gt_s (local.tee $left (i32.sub (local.get $left) (i32.const 1))) (i32.const 0))))
                (global.set $n (i32.add (global.get $n) (call $ask)))
                (i32.store (i32.const 9000) (i32.add (i32.load (i32.const 9000)) (call $ask)))
                (call $say (memory.grow (i32.and (call $ask) (i32.const 1))))
                (call $say (global.get $n)) (call $say (i32.load (i32.const 9000)))
                (call $next (local.get $request) (local.get $out))
                (call $say (call $fields))))
        (core instance $m (instantiate $m (with "i" (instance
            (export "ask" (func $ask)) (export "say" (func $say))
            (export "fields" (func $fields)) (export "next" (func $next))))))
        (func $handle (param "request" (own $request)) (param "response-out" (own $out))
            (canon lift (core func $m "handle")))
        (instance $handler (export "handle" (func $handle)))
        (export "handler" (instance $handler)))
"#;

const COMPOSED: &str = r#"
    (instance $inside (instantiate $inside
        (with "test:host/calls" (instance $calls)) (with "wasi:io/error@0.2.0" (instance $errors))
        (with "wasi:io/streams@0.2.0" (instance $streams))
        (with "wasi:cli/stdout@0.2.0" (instance $stdout))
        (with "wasi:http/types@0.2.0" (instance $types))))
    (alias export $inside "wasi:http/incoming-handler@0.2.0" (instance $answers))
    (instance $middle (instantiate $middle
        (with "calls" (instance $calls)) (with "types" (instance $types))
        (with "next" (instance $answers))))
    (alias export $middle "handler" (instance $handler))
    (export "wasi:http/incoming-handler@0.2.0" (instance $handler))"#;

/// What is given to one of those.
const GIVEN: &str = r#"
    (with "test:host/calls" (instance $calls)) (with "wasi:io/error@0.2.0" (instance $errors))
    (with "wasi:io/streams@0.2.0" (instance $streams))
    (with "wasi:cli/stdout@0.2.0" (instance $stdout))
    (with "wasi:http/types@0.2.0" (instance $types))"#;
