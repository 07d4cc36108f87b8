//! A real host process per test, on ports it chose itself, and a plain HTTP client to talk to it.
//! Does not look inside the host: tests see what users see.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::watchdog::{Watched, watch};

/// Longest wait for anything that should come at once; only a failing test waits that long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Longest wait for a whole response: some are of deploys, which compile.
const LONGEST_REPLY: Duration = Duration::from_secs(150);

/// Pass as a flag for a host that keeps its compiled code to itself.
pub(crate) const OWN_CODE: &str = "own code";

/// A running host and its data.
pub(crate) struct Host {
    child: Child,
    _watched: Arc<Watched>,
    /// Kept open: a host whose stdout is closed would fail to print.
    stdout: BufReader<std::process::ChildStdout>,
    pub(crate) listen: String,
    pub(crate) admin: String,
    pub(crate) data: PathBuf,
    _folder: Option<TempDir>,
    client: Client<HttpConnector, Full<Bytes>>,
    http2: Client<HttpConnector, Full<Bytes>>,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Reply {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("no JSON ({error}): {}", self.text()))
    }

    pub(crate) fn cause(&self) -> String {
        let problem: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        problem["cause"].as_str().unwrap_or("none").to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
    }
}

pub(crate) fn steerage() -> Command {
    Command::new(env!("CARGO_BIN_EXE_steerage"))
}

/// How a run of the command line ended, and what it printed.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Said {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("no JSON ({error}): {self:?}"))
    }

    /// What was printed as one JSON object a line.
    pub(crate) fn json_lines(&self) -> Vec<Value> {
        self.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The same, for a run that must have worked.
    pub(crate) fn done(self) -> Self {
        assert_eq!(self.code, 0, "{self:?}");
        self
    }
}

/// Runs the command line with these words, here.
pub(crate) fn run<S: AsRef<std::ffi::OsStr>>(words: &[S]) -> Said {
    run_in(Path::new("."), words)
}

/// The same, in another folder.
pub(crate) fn run_in<S: AsRef<std::ffi::OsStr>>(folder: &Path, words: &[S]) -> Said {
    let mut command = steerage();
    command.current_dir(folder).args(words).stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    for variable in ["STEERAGE_ADMIN", "STEERAGE_TOKEN_FILE", "STEERAGE_SDK"] {
        command.env_remove(variable);
    }
    let child = command.spawn().unwrap();
    let _watched = watch(&child, format!("{command:?}"));
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Said {
        code: output.status.code().expect("an exit code, not a signal"),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

impl Host {
    /// Runs the command line on this host.
    pub(crate) fn run(&self, words: &[&str]) -> Said {
        self.run_in(Path::new("."), words)
    }

    /// The same, in another folder.
    pub(crate) fn run_in(&self, folder: &Path, words: &[&str]) -> Said {
        let admin = format!("http://{}", self.admin);
        let words: Vec<&str> = words.iter().copied().chain(["--admin", &admin]).collect();
        run_in(folder, &words)
    }

    /// A host with an empty data folder.
    pub(crate) fn start() -> Self {
        Self::with(&[])
    }

    /// The same, with more flags.
    pub(crate) fn with(flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut host = Self::on(folder.path(), flags);
        host._folder = Some(folder);
        host
    }

    /// A host on a data folder that outlives it.
    pub(crate) fn on(data: &Path, flags: &[&str]) -> Self {
        Self::spawn(Self::command(data, flags), data)
    }

    /// A host with an empty data folder and more in its environment.
    pub(crate) fn with_env(flags: &[&str], env: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Self::command(folder.path(), flags);
        command.envs(env.iter().copied());
        let mut host = Self::spawn(command, folder.path());
        host._folder = Some(folder);
        host
    }

    /// A host on a data folder that outlives it, with more in its environment.
    pub(crate) fn on_with_env(data: &Path, env: &[(&str, &str)]) -> Self {
        let mut command = Self::command(data, &[]);
        command.envs(env.iter().copied());
        Self::spawn(command, data)
    }

    /// A host on a data folder that outlives it, with a log that can be read when it has ended.
    pub(crate) fn logging_on(data: &Path, filter: &str, flags: &[&str]) -> Self {
        let mut command = Self::command(data, flags);
        command.env("RUST_LOG", filter).stderr(Stdio::piped());
        Self::spawn(command, data)
    }

    fn command(data: &Path, flags: &[&str]) -> Command {
        // Compiled code is shared by all tests, so that each guest is compiled once.
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("code");
        let own_code = flags.contains(&OWN_CODE);
        let flags: Vec<&&str> = flags.iter().filter(|flag| **flag != OWN_CODE).collect();
        let mut command = steerage();
        command
            .args(["host", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data"])
            .arg(data)
            .args(flags)
            .env("RUST_LOG", std::env::var("STEERAGE_TEST_LOG").as_deref().unwrap_or("warn"))
            .stdout(Stdio::piped());
        if !own_code {
            command.arg("--cache").arg(cache);
        }
        command
    }

    fn spawn(mut command: Command, data: &Path) -> Self {
        let mut child = command.spawn().unwrap();
        let watched = watch(&child, format!("{command:?}"));
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let (mut listen, mut admin) = (String::new(), String::new());
        while listen.is_empty() || admin.is_empty() {
            let mut line = String::new();
            assert!(stdout.read_line(&mut line).unwrap() > 0, "the host ended: {:?}", child.wait());
            for word in line.split_whitespace() {
                let Some((_, address)) = word.split_once("://") else { continue };
                let address = address.trim_end_matches([',', '/']).to_owned();
                if line.contains("admin") && !listen.is_empty() {
                    admin = address;
                } else if listen.is_empty() {
                    listen = address;
                }
            }
        }
        Self {
            child,
            _watched: watched,
            stdout,
            listen,
            admin,
            data: data.to_owned(),
            _folder: None,
            client: Client::builder(TokioExecutor::new()).build_http(),
            http2: Client::builder(TokioExecutor::new()).http2_only(true).build_http(),
        }
    }

    /// A host whose address space is limited to so many KiB, as `ulimit -v` does.
    pub(crate) fn in_address_space(kibibytes: u64, flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let inner = Self::command(folder.path(), flags);
        let mut command = Command::new("sh");
        command.args(["-c", &format!("ulimit -v {kibibytes}; exec \"$0\" \"$@\"")]);
        command.arg(inner.get_program()).args(inner.get_args());
        command.env("RUST_LOG", "error").stdout(Stdio::piped());
        let mut host = Self::spawn(command, folder.path());
        host._folder = Some(folder);
        host
    }

    /// A host behind a command of the shell that limits it, whose log can be read when it has ended.
    pub(crate) fn under(limit: &str, flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let inner = Self::command(folder.path(), flags);
        let mut command = Command::new("sh");
        command.args(["-c", &format!("{limit}; exec \"$0\" \"$@\"")]);
        command.arg(inner.get_program()).args(inner.get_args());
        command.env("RUST_LOG", "warn").stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut host = Self::spawn(command, folder.path());
        host._folder = Some(folder);
        host
    }

    /// The same, with a log of every call that can be read when it has ended.
    pub(crate) fn logging(flags: &[&str]) -> Self {
        Self::logging_as("steerage=debug", flags)
    }

    /// The same with another filter of what is logged.
    pub(crate) fn logging_as(filter: &str, flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Self::command(folder.path(), flags);
        command.env("RUST_LOG", filter).stderr(Stdio::piped());
        let mut host = Self::spawn(command, folder.path());
        host._folder = Some(folder);
        host
    }

    /// The same with these variables.
    pub(crate) fn logging_with_env(env: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Self::command(folder.path(), &[]);
        command.env("RUST_LOG", "steerage=debug").envs(env.iter().copied()).stderr(Stdio::piped());
        let mut host = Self::spawn(command, folder.path());
        host._folder = Some(folder);
        host
    }

    /// Everything the host logged, once it has ended.
    pub(crate) fn wait_for_log(&mut self) -> String {
        let mut log = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        self.wait();
        log
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.listen)
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(Request::get(self.url(path)).body(Full::default()).unwrap()).await
    }

    pub(crate) async fn get_from(&self, host: &str, path: &str) -> Reply {
        let request = Request::get(self.url(path)).header("host", host);
        self.send(request.body(Full::default()).unwrap()).await
    }

    pub(crate) async fn post(&self, path: &str, body: impl Into<Bytes>) -> Reply {
        self.send(Request::post(self.url(path)).body(Full::new(body.into())).unwrap()).await
    }

    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Reply {
        soon(&self.client, request).await
    }

    pub(crate) async fn send_http2(&self, request: Request<Full<Bytes>>) -> Reply {
        soon(&self.http2, request).await
    }

    /// The response as it comes, for tests that watch a stream.
    pub(crate) fn stream(
        &self,
        request: Request<Full<Bytes>>,
    ) -> hyper_util::client::legacy::ResponseFuture {
        self.client.request(request)
    }

    /// The same over HTTP/2.
    pub(crate) fn stream_http2(
        &self,
        request: Request<Full<Bytes>>,
    ) -> hyper_util::client::legacy::ResponseFuture {
        self.http2.request(request)
    }

    pub(crate) async fn admin(&self, method: &str, path: &str, body: impl Into<Bytes>) -> Reply {
        let url = format!("http://{}{path}", self.admin);
        let request = Request::builder()
            .method(method)
            .uri(url)
            .header("content-type", "application/json")
            .body(Full::new(body.into()))
            .unwrap();
        soon(&self.client, request).await
    }

    /// Uploads a component and deploys it with this manifest text.
    pub(crate) async fn try_deploy(&self, wasm: &[u8], manifest: &str) -> Reply {
        let digest = digest(wasm);
        let path = format!("/v1/blobs/{digest}");
        let upload = self.admin("PUT", &path, wasm.to_vec()).await;
        if !upload.status.is_success() {
            return upload;
        }
        let name = manifest
            .lines()
            .find_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'))
            .expect("a manifest with a name");
        let body = json!({ "manifest": manifest, "component": digest }).to_string();
        self.admin("POST", &format!("/v1/apps/{name}/deployments"), body).await
    }

    /// The same, for a deploy that must work.
    pub(crate) async fn deploy(&self, wasm: &[u8], manifest: &str) -> Value {
        let reply = self.try_deploy(wasm, manifest).await;
        assert!(reply.status.is_success(), "{}: {}", reply.status, reply.text());
        reply.json()
    }

    /// Deploys a guest under `/NAME/...` with more manifest text.
    pub(crate) async fn serve(&self, name: &str, wasm: &[u8], more: &str) {
        self.deploy(wasm, &manifest(name, &format!("/{name}/..."), more)).await;
    }

    /// The app's last call, once it has been settled.
    pub(crate) async fn last_call(&self, app: &str) -> Value {
        let path = format!("/v1/apps/{app}/calls?limit=1");
        self.until("a settled call", || async {
            let reply = self.admin("GET", &path, "").await.json();
            let calls = reply["calls"].as_array().or(reply.as_array()).cloned()?;
            calls.last().cloned()
        })
        .await
    }

    /// The app's last settled call of this path.
    pub(crate) async fn call_of(&self, app: &str, path: &str) -> Value {
        let list = format!("/v1/apps/{app}/calls?limit=100");
        self.until("a settled call of that path", || async {
            let calls = self.admin("GET", &list, "").await.json()["calls"].as_array()?.clone();
            calls.into_iter().rfind(|call| call["path"] == path)
        })
        .await
    }

    /// Asks again until there is an answer, at most [`PATIENCE`].
    pub(crate) async fn until<T, F>(&self, what: &str, mut ask: impl FnMut() -> F) -> T
    where
        F: Future<Output = Option<T>>,
    {
        let started_at = Instant::now();
        loop {
            if let Some(found) = ask().await {
                return found;
            }
            assert!(started_at.elapsed() < PATIENCE, "no {what} in {PATIENCE:?}");
            tokio::task::yield_now().await;
        }
    }

    pub(crate) async fn metric(&self, line_start: &str) -> f64 {
        let text = self.admin("GET", "/metrics", "").await.text();
        let line = text.lines().find(|line| line.starts_with(line_start));
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0.0)
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        let status = Command::new("kill").args([&format!("-{name}"), &pid]).status();
        assert!(status.unwrap().success());
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Tells the host to end, which it does whatever runs.
    pub(crate) fn ends_in_time(&mut self) {
        self.signal("TERM");
        let told_at = Instant::now();
        self.wait();
        assert!(told_at.elapsed() < PATIENCE, "{:?}", told_at.elapsed());
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.wait_for_output();
        self.child.wait().unwrap()
    }

    /// What the host prints from here to its end.
    pub(crate) fn wait_for_output(&mut self) -> String {
        let mut rest = String::new();
        while self.stdout.read_line(&mut rest).unwrap() > 0 {}
        rest
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Sends a request and reads the whole response. A response that does not come fails the test.
async fn soon(client: &Client<HttpConnector, Full<Bytes>>, request: Request<Full<Bytes>>) -> Reply {
    let asked = format!("{} {}", request.method(), request.uri());
    let reply = async { collect(client.request(request).await.unwrap()).await.unwrap() };
    let reply = tokio::time::timeout(LONGEST_REPLY, reply).await;
    reply.unwrap_or_else(|_| panic!("{asked}: no whole response in {LONGEST_REPLY:?}"))
}

pub(crate) async fn collect(
    response: Response<hyper::body::Incoming>,
) -> Result<Reply, hyper::Error> {
    let (head, body) = response.into_parts();
    let body = body.collect().await?.to_bytes();
    Ok(Reply { status: head.status, headers: head.headers, body })
}

pub(crate) fn digest(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    let hash = Sha256::digest(bytes);
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

pub(crate) fn manifest(name: &str, path: &str, more: &str) -> String {
    format!(
        "name = \"{name}\"\nversion = \"1.0.0\"\nsource = \"{name}.wasm\"\n{more}\n\
         [[route]]\npath = \"{path}\"\n"
    )
}

pub(crate) fn wat(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

/// A CGI program that prints a text: a distinct component per text.
pub(crate) fn says(text: &str) -> Vec<u8> {
    works(0, text)
}

/// The same, but it counts so far first: a hundred million take some tenths of a second.
pub(crate) fn works(count: u32, text: &str) -> Vec<u8> {
    let work = format!(
        "(local.set $n (i32.const {count}))
         (loop $more
            (local.set $n (i32.sub (local.get $n) (i32.const 1)))
            (br_if $more (local.get $n)))"
    );
    let work = if count == 0 { "" } else { &work };
    after(1, work, &format!("\\n{text}"))
}

/// A CGI program whose whole output this is, as WAT writes it.
pub(crate) fn prints(output: &str) -> Vec<u8> {
    after(1, "", output)
}

/// A CGI program that reads its whole body before it says `ok`, and traps when it cannot.
pub(crate) fn reader() -> Vec<u8> {
    reads("", "ok")
}

/// The same, with something else to do first and to say afterwards.
pub(crate) fn reads(first: &str, text: &str) -> Vec<u8> {
    let read = format!(
        "{first}
         (i32.store (i32.const 0) (i32.const 65536))
         (i32.store (i32.const 4) (i32.const 65536))
         (loop $more
             (if (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8))
                 (then unreachable))
             (br_if $more (i32.load (i32.const 8))))"
    );
    after(2, &read, &format!("\\n{text}"))
}

/// A CGI program with so many pages of memory that does something and prints this, as WAT writes it.
fn after(pages: u32, work: &str, output: &str) -> Vec<u8> {
    let length = output.replace("\\n", "\n").len();
    wat(&format!(
        r#"(module
            (import "wasi_snapshot_preview1" "fd_read"
                (func $read (param i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "fd_write"
                (func $write (param i32 i32 i32 i32) (result i32)))
            (memory (export "memory") {pages})
            (data (i32.const 32) "{output}")
            (func (export "_start") (local $n i32)
                {work}
                (i32.store (i32.const 16) (i32.const 32))
                (i32.store (i32.const 20) (i32.const {length}))
                (drop (call $write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 8)))))"#
    ))
}

/// Sends raw bytes and reads what comes until the host closes.
pub(crate) async fn raw(address: &str, bytes: &[u8]) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    // The host may close before it has read everything.
    drop(stream.write_all(bytes).await);
    let mut reply = Vec::new();
    let read = stream.read_to_end(&mut reply);
    drop(tokio::time::timeout(PATIENCE, read).await.expect("the host keeps the connection"));
    String::from_utf8_lossy(&reply).into_owned()
}
