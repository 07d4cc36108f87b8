//! `steerage up`: builds, serves and follows the sources, with a real process.
//! The build command copies a guest, so that these tests are about `up` and not about cargo.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use steerage_guests as guests;

use crate::harness::{PATIENCE, manifest, steerage};

/// A directory with a manifest and the echo guest as its component.
fn echo_app(name: &str, more: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::copy(guests::ECHO, directory.path().join(format!("{name}.wasm"))).unwrap();
    let text = manifest(name, &format!("/{name}/..."), more);
    std::fs::write(directory.path().join("steerage.toml"), text).unwrap();
    directory
}

/// A running `steerage up` and the lines it prints.
struct Up {
    child: Child,
    lines: mpsc::Receiver<String>,
    /// What was read while another line was wanted: stdout and stderr come in no order.
    passed: Vec<String>,
}

impl Up {
    fn start(directory: &Path) -> Self {
        let mut command: Command = steerage();
        command.args(["up", "--listen", "127.0.0.1:0"]).current_dir(directory);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (sender, lines) = mpsc::sync_channel(1_000);
        let streams: [Box<dyn std::io::Read + Send>; 2] =
            [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
        for stream in streams {
            let sender = sender.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    if sender.send(line).is_err() {
                        break;
                    }
                }
            });
        }
        Self { child, lines, passed: Vec::new() }
    }

    /// A line that contains this and was not asked for before.
    fn line(&mut self, wanted: &str) {
        if let Some(position) = self.passed.iter().position(|line| line.contains(wanted)) {
            self.passed.remove(position);
            return;
        }
        loop {
            let Ok(line) = self.lines.recv_timeout(PATIENCE) else {
                panic!("no `{wanted}` in:\n{}", self.passed.join("\n"))
            };
            if line.contains(wanted) {
                return;
            }
            self.passed.push(line);
        }
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn replace(path: &PathBuf, text: &str) {
    std::fs::write(path, text).unwrap();
}

#[test]
fn up_serves_changes_and_survives_a_build_that_fails() {
    // The build command copies, so that the test is about `up` and not about cargo.
    let app = echo_app("live", "[build]\ncommand = \"sh build.sh\"\n");
    let script = app.path().join("build.sh");
    let copy = |guest: &str| format!("cp '{guest}' live.wasm\n");
    replace(&script, &copy(guests::ECHO));
    let mut up = Up::start(app.path());
    up.line("live generation 1 is served");
    up.line("try: curl http://127.0.0.1:");
    replace(&script, "echo the compiler is unhappy; exit 7\n");
    up.line("the compiler is unhappy");
    up.line("still serving the live from before");
    replace(&script, &copy(guests::TRAP));
    up.line("live generation 2 is served");
    replace(&script, &format!("# nothing new\n{}", copy(guests::TRAP)));
    up.line("the component is the same as before");
}
