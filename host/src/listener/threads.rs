//! The threads that accept connections and read requests: what each has to do, and how work is handed from
//! one to another. Does not decide what is: `core::threads` does. Runs nothing.
//!
//! Something that was handed over stays where it went: a connection, with its descriptor registered there;
//! a request, with its story and its guest's first slice. What is read and written on the connection of that
//! request stays with the connection's thread; the two share hyper's and h2's own locks.

use std::cell::Cell;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use steerage_core::threads::{self, ThreadLoad};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Handle, Runtime};

/// Other threads that are looked at for one that does nothing: with as many busy, the next hardly helps,
/// and to look costs a cache line each.
const LOOKED_AT: usize = 8;

thread_local! {
    /// The place of this thread among those of its doors.
    static OWN: Cell<Option<usize>> = const { Cell::new(None) };
}

/// The threads of the doors, each of which has one place.
#[derive(Debug)]
pub struct Threads {
    all: Box<[Thread]>,
}

#[derive(Debug)]
struct Thread {
    runtime: Handle,
    load: Arc<Load>,
}

/// What a thread has to do. On cache lines of its own, since its thread writes to it all the time. Read
/// without order: these numbers say only where work is better off.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Load {
    n_connections: AtomicU32,
    n_ready: AtomicU32,
    is_idle: AtomicBool,
}

/// Where something runs.
pub(super) struct Placed<'t> {
    /// Counts it there while it lives.
    pub(super) counted: Counted,
    /// Another thread's runtime; none for the thread at hand.
    runtime: Option<&'t Handle>,
}

/// One of a thread's connections, or of the requests that it has not begun, or of nothing that is counted.
#[derive(Debug)]
pub(super) struct Counted(Option<(Arc<Load>, Count)>);

/// Which count of a thread.
type Count = fn(&Load) -> &AtomicU32;

/// A connection that was accepted, perhaps by another thread.
pub(super) enum NewConnection {
    Here(TcpStream),
    Moved(std::net::TcpStream),
}

impl Threads {
    /// So many threads, with what each is to run on.
    ///
    /// # Errors
    /// The system refuses what a runtime needs.
    pub fn build(n_threads: usize) -> io::Result<(Arc<Self>, Vec<Runtime>)> {
        let loads: Vec<Arc<Load>> = (0..n_threads).map(|_| Arc::default()).collect();
        let built: io::Result<Vec<Runtime>> = loads.iter().map(build).collect();
        let runtimes = built?;
        let threads = runtimes.iter().zip(loads);
        let all = threads
            .map(|(runtime, load)| Thread { runtime: runtime.handle().clone(), load })
            .collect();
        Ok((Arc::new(Self { all }), runtimes))
    }

    /// Says that this thread has that place.
    pub fn take_place(&self, place: usize) {
        OWN.set(Some(place));
    }

    /// Where a connection is to be served that came in here.
    pub(super) fn for_connection(&self) -> Placed<'_> {
        let count: Count = |load| &load.n_connections;
        let n_connections = |thread: &Thread| thread.load.n_connections.load(Ordering::Relaxed);
        self.place(count, |own| {
            threads::for_connection(n_connections(own), self.others().map(n_connections))
        })
    }

    /// Where a request is to be begun that was read here.
    pub(super) fn for_request(&self) -> Placed<'_> {
        let load = |thread: &Thread| ThreadLoad {
            n_ready: thread.load.n_ready.load(Ordering::Relaxed),
            is_idle: thread.load.is_idle.load(Ordering::Relaxed),
        };
        self.place(
            |load| &load.n_ready,
            |own| {
                let n_ready = load(own).n_ready;
                if !threads::is_to_share(n_ready) {
                    return None;
                }
                threads::for_request(n_ready, self.others().take(LOOKED_AT).map(load))
            },
        )
    }

    /// Counts something where it is decided to be.
    fn place(&self, count: Count, decide: impl FnOnce(&Thread) -> Option<usize>) -> Placed<'_> {
        let own = OWN.get().filter(|_| self.all.len() > 1).and_then(|own| self.all.get(own));
        let Some(own) = own else { return Placed::here() };
        let other = decide(own).and_then(|place| self.others().nth(place));
        let load = other.unwrap_or(own).load.clone();
        count(&load).fetch_add(1, Ordering::Relaxed);
        let counted = Counted(Some((load, count)));
        Placed { counted, runtime: other.map(|thread| &thread.runtime) }
    }

    /// The other threads, beginning with the next one.
    fn others(&self) -> impl Iterator<Item = &Thread> {
        let (before, from) = self.all.split_at(OWN.get().unwrap_or(0).min(self.all.len()));
        from.iter().skip(1).chain(before)
    }
}

fn build(load: &Arc<Load>) -> io::Result<Runtime> {
    let (parks, goes_on) = (load.clone(), load.clone());
    Builder::new_current_thread()
        .enable_all()
        .on_thread_park(move || parks.is_idle.store(true, Ordering::Relaxed))
        .on_thread_unpark(move || goes_on.is_idle.store(false, Ordering::Relaxed))
        .build()
}

impl<'t> Placed<'t> {
    /// On the thread at hand, counted nowhere.
    pub(super) fn here() -> Self {
        Self { counted: Counted(None), runtime: None }
    }

    /// Takes it apart: what counts it, and how it is started.
    pub(super) fn split(self) -> (Counted, Start<'t>) {
        (self.counted, Start(self.runtime))
    }
}

/// How something is started where it was placed.
#[derive(Clone, Copy)]
pub(super) struct Start<'t>(Option<&'t Handle>);

impl Start<'_> {
    /// Takes a connection from this thread where it goes to another.
    ///
    /// # Errors
    /// The system does not let go of it.
    pub(super) fn take(self, stream: TcpStream) -> io::Result<NewConnection> {
        match self.0 {
            Some(_) => stream.into_std().map(NewConnection::Moved),
            None => Ok(NewConnection::Here(stream)),
        }
    }

    pub(super) fn spawn(self, work: impl Future<Output = ()> + Send + 'static) {
        match self.0 {
            Some(runtime) => drop(runtime.spawn(work)),
            None => drop(tokio::task::spawn(work)),
        }
    }
}

impl NewConnection {
    /// The connection on the thread at hand.
    ///
    /// # Errors
    /// The system does not take it.
    pub(super) fn arrive(self) -> io::Result<TcpStream> {
        match self {
            Self::Here(stream) => Ok(stream),
            Self::Moved(stream) => TcpStream::from_std(stream),
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if let Some((load, count)) = &self.0 {
            count(load).fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests;
