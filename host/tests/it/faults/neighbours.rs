//! Healthy apps beside a fault, called all the while, as many and as often as a seed says: what is wrong must be told
//! first among what is well. Without a seed (`STEERAGE_FAULT_SEED`) there are none.
//! Does not test anything itself.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use crate::harness::{Host, run, says};

/// What a neighbour may be called: its name stands before or after that of the app which has the fault.
const NAMES: [&str; 8] = ["a", "cart", "mail", "search", "users", "weather", "zebra", "zz"];
/// A host that was ended answers nothing any more; one that stands still may go on.
const ANSWERS_WITHIN: Duration = Duration::from_secs(30);

/// Puts them on a host.
pub(super) fn beside(host: &Host) {
    let seed = std::env::var("STEERAGE_FAULT_SEED").ok().map(|seed| seed.parse::<u64>().unwrap());
    let Some(seed) = seed.filter(|seed| *seed > 0) else { return };
    // Each test has others: its name is that of its thread.
    let thread = std::thread::current();
    let name = thread.name().unwrap_or_default().bytes().map(u64::from);
    let mut random =
        fastrand::Rng::with_seed(name.fold(seed, |seed, byte| seed.wrapping_mul(31) ^ byte));
    let names = random.choose_multiple(NAMES, random.clone().usize(1..=5));
    let folder = tempfile::tempdir().unwrap();
    let admin = format!("http://{}", host.admin);
    for name in &names {
        let file = folder.path().join(format!("{name}.wasm"));
        std::fs::write(&file, says(name)).unwrap();
        let (file, route) = (file.to_str().unwrap(), format!("/{name}/..."));
        run(&["deploy", file, "--name", name, "--route", &route, "--admin", &admin]).done();
    }
    println!("seed {seed}: beside {names:?}");
    let listen = host.listen.clone();
    let longest = random.u64(5..100);
    std::thread::spawn(move || {
        while let Ok(mut stream) = TcpStream::connect(&listen) {
            let name = random.choice(&names).unwrap();
            let path = random.u32(..);
            let head =
                format!("GET /{name}/{path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
            // A fault of the host may break it off.
            drop(stream.set_read_timeout(Some(ANSWERS_WITHIN)));
            drop(stream.write_all(head.as_bytes()));
            drop(stream.read_to_end(&mut Vec::new()));
            #[expect(clippy::disallowed_methods, reason = "the seed says how often it is called")]
            std::thread::sleep(Duration::from_millis(random.u64(1..longest)));
        }
    });
}
