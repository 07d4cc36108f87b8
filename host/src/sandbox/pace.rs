//! Ends a guest's slice when its time is over, although its fuel is not: host calls take time and no
//! fuel. Does not bound one host call, and does not charge the time: whoever polls the guest measures
//! it.
//!
//! Wasmtime asks a hook before and after each host call. The hook cannot take fuel away, since what is
//! said of fuel would then depend on how fast the machine is; it makes the guest yield.

use std::cell::Cell;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use wasmtime::{CallHook, CallHookHandler, Store, StoreContextMut};

use crate::meter;

/// A slice that has used so much of the CPU ends with the host call at hand. Many times what a slice of
/// fuel takes, so guests that compute do not notice.
const LONGEST_SLICE: Duration = Duration::from_millis(2);
/// The clock is read after every so many host calls that take their time.
const LOOK_EVERY: u32 = 4;
/// The same of calls that take none to speak of: reading the clock costs as much as a small one.
const LOOK_SELDOM: u32 = 16;
/// Within which so many did that: a piece of what a slice may last, so that as many more cannot make it
/// much longer unless they take far more time than those before.
const SOON: Duration = Duration::from_micros(250);

thread_local! {
    /// Host calls that return on this thread until the clock is read.
    static N_LEFT: Cell<u32> = const { Cell::new(LOOK_EVERY) };
}

/// What a store holds for a guest that is looked after between its calls of the host.
pub(super) trait Watched: Send + Sized + 'static {
    /// To be called whenever a host call has returned.
    ///
    /// # Errors
    /// When the guest must not go on.
    fn after_host_call(store: &mut StoreContextMut<'_, Self>) -> wasmtime::Result<()>;

    /// Whether it may wait for its next slice.
    fn may_rest(&self) -> bool;

    /// Whether it may from now on, or what it does is to be done in one go.
    fn set_may_rest(&mut self, may_rest: bool);
}

/// Has the guests of this store yield when their slice has lasted too long.
pub(super) fn keep<T: Watched>(store: &mut Store<T>) {
    store.call_hook_async(Hook);
}

/// Whether the slice at hand has lasted too long. Time in which the kernel had others run does not
/// count: it is not the guest's, and asking how much that was is dear.
pub(super) fn is_over() -> bool {
    is_over_after(meter::passed())
}

fn is_over_after(passed: Duration) -> bool {
    passed >= LONGEST_SLICE && meter::so_far() >= LONGEST_SLICE
}

/// Has the clock be read when the host call at hand returns, since it may have taken its time.
pub(super) fn look_soon() {
    N_LEFT.set(1);
}

/// Waits for the next slice where this one has lasted too long: for host calls that do their work in
/// pieces.
pub(super) async fn rest() {
    if is_over() {
        Yield { is_done: false }.await;
    }
}

/// Has no size, so that boxing it for a store, or what it returns for a call, allocates nothing.
struct Hook;

/// What the hook returns nearly always.
struct GoOn;

struct Yield {
    is_done: bool,
}

type Decided<'a> = Pin<Box<dyn Future<Output = wasmtime::Result<()>> + Send + 'a>>;

impl<T: Watched> CallHookHandler<T> for Hook {
    // What `async_trait` would make of it, but that it decides now, and boxes nothing for going on.
    fn handle_call_event<'hook, 'store, 'a>(
        &'hook self,
        mut store: StoreContextMut<'store, T>,
        event: CallHook,
    ) -> Decided<'a>
    where
        'hook: 'a,
        'store: 'a,
        Self: 'a,
    {
        if !matches!(event, CallHook::ReturningFromHost) {
            return Box::pin(GoOn);
        }
        if let Err(error) = T::after_host_call(&mut store) {
            return Box::pin(async { Err(error) });
        }
        let n_left = N_LEFT.get().saturating_sub(1);
        if n_left > 0 {
            N_LEFT.set(n_left);
            return Box::pin(GoOn);
        }
        let passed = meter::passed();
        N_LEFT.set(if passed < SOON { LOOK_SELDOM } else { LOOK_EVERY });
        if is_over_after(passed) && store.data().may_rest() {
            return Box::pin(async {
                Yield { is_done: false }.await;
                Ok(())
            });
        }
        Box::pin(GoOn)
    }
}

impl Future for GoOn {
    type Output = wasmtime::Result<()>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(Ok(()))
    }
}

impl Future for Yield {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.is_done {
            return Poll::Ready(());
        }
        self.is_done = true;
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;

    use steerage_core::units::{Bytes, Fuel};
    use wasmtime::{Instance, Module};

    use super::*;
    use crate::sandbox::engine::{self, Flavor};
    use crate::sandbox::instance;

    /// Touches each of 65,536 pages once, with as few instructions as can be: the slowest a guest is
    /// between two looks at its fuel that is no host call.
    const TOUCH: &str = r#"(module (memory 4096)
        (func (export "touch") (local $at i32)
            (loop $next
                (i32.store offset=0 (local.get $at) (i32.const 1))
                (i32.store offset=4096 (local.get $at) (i32.const 1))
                (i32.store offset=8192 (local.get $at) (i32.const 1))
                (i32.store offset=12288 (local.get $at) (i32.const 1))
                (local.set $at (i32.add (local.get $at) (i32.const 16384)))
                (br_if $next (i32.lt_u (local.get $at) (i32.const 268435456))))))"#;
    const SLICE: Fuel = Fuel::new(20_000);

    #[tokio::test]
    async fn a_guest_that_touches_all_its_pages_does_so_in_slices() {
        let engine = engine::compiling(Flavor::Plain, Bytes::mebi(512), false).unwrap();
        let module = Module::new(&engine, wat::parse_str(TOUCH).unwrap()).unwrap();
        let mut store = Store::new(&engine, ());
        let fuel = Fuel::new(1 << 40);
        instance::start(&mut store, fuel, SLICE).unwrap();
        let instance = Instance::new_async(&mut store, &module, &[]).await.unwrap();
        let touch = instance.get_typed_func::<(), ()>(&mut store, "touch").unwrap();
        let mut n_slices = 1;
        {
            let mut call = pin!(touch.call_async(&mut store, ()));
            poll_fn(|context| {
                let polled = call.as_mut().poll(context);
                n_slices += u64::from(polled.is_pending());
                polled
            })
            .await
            .unwrap();
        }
        let burned = fuel.get() - store.get_fuel().unwrap();
        assert!(n_slices >= burned / SLICE.get() && n_slices >= 10, "{burned} in {n_slices}");
    }
}
