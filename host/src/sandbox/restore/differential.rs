//! Calls of generated components in instances that are put back, beside the same calls in new ones of
//! what was deployed: the same answers, the same fuel, the same memories, globals and handles.
//! `STEERAGE_DIFFERENTIAL_CALLS` says how many, for `make soak`.

mod generator;

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex};

use bytes::Bytes as Chunk;
use fastrand::Rng;
use http_body_util::Empty;
use steerage_core::id::{AppName, CallId, Generation, TenantName};
use steerage_core::outbound::{OutboundPolicy, PrivateNetworks};
use steerage_core::units::{Bytes, Fuel, Weight};
use wasmtime::component::{Component, Linker, Resource};
use wasmtime::{Engine, Store, Trap};

use super::learned::Learned;
use super::live::{self, Code, Place, Restorer};
use super::outcome::{Lost, NotMade};
use super::pages::FaultWatch;
use super::qualify::rewrite;
use super::step::Step;
use super::step::tests::leave_out;
use super::unfit::Unfit;
use crate::budget::{Memory, MemorySettings};
use crate::call::CallIds;
use crate::sandbox::engine::{self, Flavor};
use crate::sandbox::guest::{Guest, ServiceParts};
use crate::sandbox::http02::{Handler, HandlerPre, IncomingRequest};
use crate::sandbox::idle::{InstanceSlots, Pool};
use crate::sandbox::linked::Pre;
use crate::sandbox::outbound::{ConnectionCharge, Denials, Egress, Outbound};
use crate::sandbox::{instance, linker, pace};
use crate::telemetry::logs::AppLog;

/// Address space of each memory.
const LARGEST: Bytes = Bytes::mebi(4 << 10);
const FUEL: u64 = 1 << 40;
/// Handles that may live in one store.
const MOST_HANDLES: usize = 64;
/// Calls of each component: more of them where there are many.
const CALLS_EACH: u32 = 40;

/// What a guest is told and what it has said.
#[derive(Default)]
struct Exchange {
    number: u32,
    said: Vec<u32>,
}

/// An engine and all that can be imported there.
struct EngineLinker {
    engine: Engine,
    linker: Linker<Guest>,
    exchange: Arc<Mutex<Exchange>>,
    parts: ServiceParts,
}

/// What came of a call.
#[derive(Debug, PartialEq)]
struct Answer {
    /// What the host held for the guest before.
    before: String,
    trap: Option<Trap>,
    said: Vec<u32>,
    fuel: u64,
    /// What it held after.
    after: String,
}

/// An instance that is put back.
type Live = (Store<Guest>, Handler, Restorer, InstanceSlots);

impl EngineLinker {
    fn new(engine: Engine, flavor: Flavor) -> Self {
        let mut linker = linker::component_linker(&engine, flavor).unwrap();
        let exchange = Arc::new(Mutex::new(Exchange::default()));
        let mut calls = linker.instance("test:host/calls").unwrap();
        let asked = exchange.clone();
        calls.func_wrap("ask", move |_, ()| Ok((asked.lock().unwrap().number,))).unwrap();
        let told = exchange.clone();
        let say = move |_: wasmtime::StoreContextMut<'_, Guest>, (what,): (u32,)| {
            told.lock().unwrap().said.push(what);
            Ok(())
        };
        calls.func_wrap("say", say).unwrap();
        Self { engine, linker, exchange, parts: parts() }
    }

    fn pre(&self, bytes: &[u8]) -> HandlerPre<Guest> {
        let component = Component::new(&self.engine, bytes).unwrap();
        HandlerPre::new(self.linker.instantiate_pre(&component).unwrap()).unwrap()
    }

    fn code(&self, bytes: &[u8]) -> Code {
        Code::new(self.engine.clone(), Pre::Http02(self.pre(&rewrite(bytes).unwrap())))
    }

    /// Calls the handler; says what came of it, and whether the thread had page faults.
    async fn call(
        &self,
        store: &mut Store<Guest>,
        handler: &Handler,
        number: u32,
    ) -> (Answer, bool) {
        *self.exchange.lock().unwrap() = Exchange { number, said: Vec::new() };
        store.data_mut().stdio.start_call(ids(number.into()));
        let before = store.data_mut().told();
        instance::start(store, Fuel::new(FUEL), Fuel::new(10_000)).unwrap();
        // Many times what a call has, few times what some calls leave to a host that forgets none.
        store.set_max_component_handles(MOST_HANDLES);
        let table = &mut store.data_mut().table;
        let request = http::Request::new(Empty::<Chunk>::new());
        let request = table.push(IncomingRequest::new(request, None, false)).unwrap();
        let out = Resource::new_own(table.push(()).unwrap().rep());
        let mut has_faulted = false;
        let ended = {
            let guest = pin!(handler.handle(&mut *store, request, out));
            FaultWatch::new(guest, Some(&mut has_faulted)).await
        };
        let trap = ended.err().map(|error| *error.downcast_ref().expect("a trap"));
        let said = std::mem::take(&mut self.exchange.lock().unwrap().said);
        let fuel = FUEL - store.get_fuel().unwrap();
        let after = store.data_mut().told();
        (Answer { before, trap, said, fuel, after }, has_faulted)
    }

    async fn call_new(&self, pre: &HandlerPre<Guest>, number: u32) -> Answer {
        let slots = self.slots();
        let mut store = Store::new(&self.engine, self.parts.guest(ids(1), slots.reservation()));
        store.limiter(|guest| &mut guest.limiter);
        pace::keep(&mut store);
        instance::start(&mut store, Fuel::new(FUEL), Fuel::new(u64::MAX)).unwrap();
        let handler = pre.instantiate(&mut store).await.unwrap();
        self.call(&mut store, &handler, number).await.0
    }

    fn live(&self, code: &Code) -> Live {
        self.make(code).unwrap()
    }

    fn make(&self, code: &Code) -> Result<Live, NotMade> {
        let place = || Place::take(&Arc::new(AtomicU32::new(0)), 1).unwrap();
        let slots = self.slots();
        let (places, Pre::Http02(pre)) = ((place(), place()), &code.pre) else { unreachable!() };
        let (mut store, instance, restorer) =
            live::make(code, pre.instance_pre(), &self.parts, slots.reservation(), places)?;
        let handler = pre.of(&mut store, &instance).unwrap();
        Ok((store, handler, restorer, slots))
    }

    fn slots(&self) -> InstanceSlots {
        Pool::new(1).take(1, &self.parts.memory)
    }

    async fn call_restored(&self, live: &mut Live, number: u32) -> Answer {
        let (store, handler, restorer, _) = live;
        let (answer, has_faulted) = self.call(store, handler, number).await;
        restorer.note_faulted(has_faulted);
        answer
    }
}

fn ids(call: u128) -> CallIds {
    CallIds::without_span(CallId::from_u128(call))
}

fn parts() -> ServiceParts {
    let settings = MemorySettings { budget: Bytes::mebi(512), overcommit: 1.0 };
    let egress = Arc::new(Egress::new(PrivateNetworks::default(), 1024));
    let (app, generation) = (AppName::parse("tried").unwrap(), Generation::new(1).unwrap());
    let denials = Denials::new(app, generation, Arc::default(), Arc::default());
    let policy = OutboundPolicy::new(Vec::new());
    ServiceParts {
        env: Vec::new().into(),
        memory_limit: Bytes::mebi(16),
        memory: Memory::new(settings, BTreeMap::new())
            .account(&TenantName::default(), Weight::DEFAULT),
        outbound: Outbound::new(
            policy,
            egress,
            (denials, Arc::default()),
            ConnectionCharge::to(|_| {}),
        ),
        stores: None,
        databases: None,
        log: AppLog::alone(),
        generation,
        flavor: Flavor::Plain,
    }
}

/// How many calls there were of each kind.
#[derive(Debug, Default)]
struct Counts {
    restored: u32,
    trapped: u32,
    too_many: u32,
    worn_out: u32,
}

/// Calls of the components of these seeds; says what differed first, if anything did.
async fn compare(seeds: std::ops::Range<u64>, calls_each: u32) -> Result<Counts, String> {
    compare_all(seeds.map(|seed| (seed, generator::component(seed, None))), calls_each).await
}

/// The same of components as texts.
async fn compare_all(
    texts: impl Iterator<Item = (u64, String)>,
    calls_each: u32,
) -> Result<Counts, String> {
    let new =
        EngineLinker::new(engine::compiling(Flavor::Plain, LARGEST, true).unwrap(), Flavor::Plain);
    let restored = EngineLinker::new(engine::restoring(LARGEST).unwrap(), Flavor::Restoring);
    let mut counts = Counts::default();
    for (seed, text) in texts {
        let bytes = wat::parse_str(text).unwrap();
        let pre = new.pre(&bytes);
        let code = restored.code(&bytes);
        let learned = Learned::default();
        let mut live = restored.live(&code);
        let mut random = Rng::with_seed(seed);
        for n in 0..calls_each {
            let number = random.u32(..);
            let expected = new.call_new(&pre, number).await;
            let answer = restored.call_restored(&mut live, number).await;
            let call = format!("call {n} with {number} of component {seed}");
            if answer != expected {
                return Err(format!("{call}: {answer:#?}, not {expected:#?}"));
            }
            let (store, _, restorer, slots) = &mut live;
            let lost = if answer.trap.is_some() {
                Err(Lost::BadEnd)
            } else {
                let guest = restored.parts.guest(ids(1), slots.reservation());
                restorer.restore(store, guest, &learned)
            };
            match lost {
                Ok(()) => counts.restored += 1,
                Err(Lost::BadEnd) => {
                    counts.trapped += 1;
                    live = restored.live(&code);
                }
                Err(Lost::TooManyHandles { .. }) => {
                    counts.too_many += 1;
                    live = restored.live(&code);
                }
                Err(Lost::WornOut) => {
                    counts.worn_out += 1;
                    live = restored.live(&code);
                }
                Err(lost) => return Err(format!("{lost} after {call}")),
            }
        }
    }
    Ok(counts)
}

#[tokio::test]
async fn generated_components_do_the_same_in_instances_that_are_put_back() {
    let n_calls = std::env::var("STEERAGE_DIFFERENTIAL_CALLS");
    let n_calls: u32 = n_calls.map_or(2_000, |calls| calls.parse().unwrap());
    let calls_each = CALLS_EACH.max(n_calls / 1_000);
    let seeds = 0..u64::from(n_calls.div_ceil(calls_each));
    let counts = compare(seeds, calls_each).await.unwrap_or_else(|differs| panic!("{differs}"));
    eprintln!("{counts:?}");
    let Counts { restored, trapped, too_many, worn_out } = counts;
    assert!(restored > n_calls / 2 && trapped > 0, "{counts:?}");
    // More of them would mean that the host's own table was not made anew.
    assert!(too_many <= restored / 100 && worn_out <= restored / 50, "{counts:?}");
}

#[tokio::test]
async fn composed_components_do_the_same_in_instances_that_are_put_back() {
    let texts = || (0..20).map(|seed| (seed, generator::composed(seed)));
    let counts =
        compare_all(texts(), CALLS_EACH).await.unwrap_or_else(|differs| panic!("{differs}"));
    assert!(counts.restored > 600 && counts.too_many == 0, "{counts:?}");
    let steps: [&[Step]; 3] = [&[Step::OtherParts], &[Step::LastGlobal], &[Step::FreeHandles]];
    for step in steps {
        leave_out(step);
        let compared = compare_all(texts(), CALLS_EACH).await;
        leave_out(&[]);
        assert!(compared.is_err(), "{step:?}");
    }
}

/// Steps that the differential must notice when they are left out. A whole memory is compared after each
/// call only in debug builds, so guests must notice what is left in it, too.
const NOTICED: [&[Step]; 21] = [
    &[Step::Faults],
    &[Step::Look],
    &[Step::LastPage],
    &[Step::OtherMemories],
    &[Step::Size],
    &[Step::Faults, Step::Compare],
    &[Step::Look, Step::Compare],
    &[Step::LastPage, Step::Compare],
    &[Step::OtherMemories, Step::Compare],
    &[Step::GrownPages, Step::Compare],
    &[Step::LastGlobal],
    &[Step::OtherInstances],
    &[Step::TakeHandles],
    &[Step::FreeHandles],
    &[Step::HostData],
    &[Step::Resources],
    &[Step::Wasi],
    &[Step::Stdio],
    &[Step::Meter],
    &[Step::Limiter],
    &[Step::ForgetHandles],
];

#[tokio::test]
async fn each_step_of_putting_back_that_is_left_out_is_noticed() {
    let mut unnoticed = Vec::new();
    for steps in NOTICED {
        leave_out(steps);
        match compare(0..20, CALLS_EACH).await {
            Ok(counts) => unnoticed.push((steps, counts)),
            Err(why) => eprintln!("{steps:?}: {why}"),
        }
    }
    leave_out(&[]);
    assert!(unnoticed.is_empty(), "{unnoticed:#?}");
}

#[tokio::test]
async fn kernels_without_the_scan_tell_the_same() {
    leave_out(&[Step::Scan]);
    let counts = compare(0..10, CALLS_EACH).await;
    leave_out(&[Step::Scan, Step::Faults]);
    let noticed = compare(0..10, CALLS_EACH).await;
    leave_out(&[]);
    assert!(counts.unwrap().restored > 300 && noticed.is_err());
}

#[test]
fn kernels_that_tell_no_written_pages_have_new_instances() {
    let restored = EngineLinker::new(engine::restoring(LARGEST).unwrap(), Flavor::Restoring);
    let bytes = wat::parse_str(generator::component(0, None)).unwrap();
    let code = restored.code(&bytes);
    leave_out(&[Step::Pagemap]);
    let made = restored.make(&code);
    leave_out(&[]);
    let Err(NotMade::Unfit(why)) = made else { panic!("it was made") };
    assert_eq!(why.to_string(), "the kernel does not tell which pages were written: unsupported");
}

#[test]
fn generated_components_that_change_what_cannot_be_put_back_are_refused() {
    for (seed, step) in (0..).zip(generator::REFUSED) {
        let bytes = wat::parse_str(generator::component(seed, Some(step))).unwrap();
        assert!(matches!(rewrite(&bytes), Err(Unfit::Instruction(_))), "{step}");
    }
}
