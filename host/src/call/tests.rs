//! What both sides of a call see of each other.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::FutureExt as _;
use steerage_core::id::CallId;
use steerage_core::outcome::Outcome;
use steerage_core::units::Fuel;

use super::*;
use crate::body::{self, Produced};

fn call() -> Arc<Call> {
    Call::unrecorded(1)
}

fn answer() -> GuestResponse {
    Err("no".to_owned())
}

#[test]
fn an_answer_is_there_once_for_who_waits() {
    let call = call();
    let sender = ResponseSender::new(call.clone());
    assert!(call.answered().now_or_never().is_none() && !call.is_answered());
    sender.send(answer());
    assert!(call.is_answered());
    assert_eq!(call.answered().now_or_never().unwrap().unwrap().unwrap_err(), "no");
    assert!(call.answered().now_or_never().unwrap().is_none());
}

#[tokio::test]
async fn who_waits_for_an_answer_is_woken_by_it_and_by_its_want() {
    for answers in [true, false] {
        let call = call();
        let sender = ResponseSender::new(call.clone());
        let waiter = tokio::spawn(async move { call.answered().await.is_some() });
        tokio::task::yield_now().await;
        if answers {
            sender.send(answer());
        } else {
            drop(sender);
        }
        assert_eq!(waiter.await.unwrap(), answers);
    }
}

#[test]
fn a_right_that_was_lent_is_had_back_unless_it_was_used() {
    let call = call();
    let (lent, back) = ResponseSender::new(call.clone()).lend();
    drop(lent);
    assert!(call.answered().now_or_never().is_none(), "another may answer yet");
    let (lent, back) = back.back().unwrap().lend();
    lent.send(answer());
    assert!(back.back().is_none());
    assert!(call.answered().now_or_never().unwrap().is_some());
}

#[test]
fn a_right_that_nobody_takes_back_is_given_up() {
    let call = call();
    let (lent, back) = ResponseSender::new(call.clone()).lend();
    drop((lent, back));
    assert!(call.answered().now_or_never().unwrap().is_none() && !call.is_answered());
}

#[test]
fn an_answer_that_nobody_takes_any_more_is_dropped_at_once() {
    for is_answered_first in [true, false] {
        let call = call();
        let sender = ResponseSender::new(call.clone());
        let (writer, reader) = body::channel();
        let response = http::Response::new(Produced::Written(reader));
        if is_answered_first {
            sender.send(Ok(response));
            call.cut(Outcome::ClientGone);
        } else {
            call.cut(Outcome::ClientGone);
            sender.send(Ok(response));
        }
        assert!(writer.room().is_err());
    }
}

#[test]
fn a_guest_that_wrote_no_response_ends_the_call() {
    let call = call();
    ResponseSender::new(call.clone()).refuse("it is none".to_owned());
    assert!(call.must_stop() && call.is_answered() && call.failed());
    assert!(call.answered().now_or_never().unwrap().is_none());
    assert_eq!(call.ended().unwrap().0.cause(), "no_answer");
}

#[test]
fn a_call_that_was_cut_is_over_as_failed_and_never_otherwise() {
    for is_cut_first in [true, false] {
        let call = call();
        let cut = || call.cut(Outcome::ClientGone);
        let end = || call.end(Outcome::Answered, Usage::default());
        if is_cut_first {
            cut();
            end();
        } else {
            end();
            assert!(call.is_over() && !call.failed());
            cut();
        }
        call.end(Outcome::Answered, Usage::default());
        assert_eq!(call.ended().unwrap().0, Outcome::ClientGone);
        assert!(call.is_over() && call.failed() && call.must_stop());
    }
}

#[test]
fn what_was_said_first_stays_and_usage_is_taken() {
    let call = call();
    call.cut(Outcome::ClientGone);
    assert!(!call.is_over());
    let usage = Usage { fuel: Fuel::new(7), ..Usage::default() };
    call.end(Outcome::Answered, usage);
    let (outcome, usage) = call.ended().unwrap();
    assert_eq!((outcome, usage.fuel), (Outcome::ClientGone, Fuel::new(7)));
    assert!(call.is_over() && call.failed());
}

#[derive(Debug)]
struct Counted(Arc<AtomicU32>);

impl Recorder for Counted {
    fn record(&self, call: &Call) {
        assert_eq!(call.id, CallId::from_u128(1));
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_call_is_recorded_once_when_its_last_side_is_gone_whoever_else_holds_it() {
    let n_records = Arc::new(AtomicU32::new(0));
    let call =
        Call::new(CallId::from_u128(1), std::time::Instant::now(), Counted(n_records.clone()));
    let client = CallSide::of(Arc::new(call));
    let (guest, held) = (client.clone(), client.call().clone());
    drop(client);
    assert_eq!(n_records.load(Ordering::SeqCst), 0);
    drop(guest);
    assert_eq!(n_records.load(Ordering::SeqCst), 1);
    drop(held);
    assert_eq!(n_records.load(Ordering::SeqCst), 1);
}
