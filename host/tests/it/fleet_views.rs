//! What any host of a fleet tells of all of them, and of one; who says nothing is named.

use futures_util::StreamExt;
use http::Request;
use http_body_util::{BodyDataStream, BodyExt};
use hyper::body::Incoming;
use serde_json::Value;
use steerage_guests as guests;

use crate::fleet::Fleet;
use crate::harness::{Host, PATIENCE, manifest, prints};

/// Two hosts that both run `web`, with three calls at the first and two at the second.
async fn called_fleet() -> Option<Fleet> {
    let fleet = Fleet::start(2).await?;
    let text = manifest("web", "/web/...", "[replicas]\nmin = 2\nmax = 2");
    let output = "Content-Type: text/plain\\n\\nok";
    fleet.first().deploy(&prints(output), &text).await;
    fleet.ready_on("web", 2).await;
    for (host, n_calls) in fleet.hosts.iter().zip([3, 2]) {
        for _ in 0..n_calls {
            assert_eq!(host.get("/web/").await.text(), "ok");
        }
        host.until("recorded calls", || async {
            let calls = host.admin("GET", "/v1/apps/web/calls", "").await.json();
            (calls["calls"].as_array()?.len() == n_calls).then_some(())
        })
        .await;
    }
    Some(fleet)
}

fn json(host: &Host, words: &[&str]) -> Value {
    let said = host.run(&[words, &["-o", "json"]].concat()).done();
    assert_eq!(said.stderr, "", "{words:?}");
    said.json()
}

/// The hosts that items come from.
fn hosts(items: &[Value]) -> Vec<&str> {
    let mut hosts: Vec<&str> = items.iter().map(|item| item["host"].as_str().unwrap()).collect();
    hosts.sort_unstable();
    hosts.dedup();
    hosts
}

#[tokio::test]
async fn any_host_tells_what_all_know_and_what_one_does() {
    let Some(fleet) = called_fleet().await else { return };
    for host in &fleet.hosts {
        for (of, n_calls, names) in [
            (&[][..], 5, &["h1", "h2"][..]),
            (&["--host", "h1"], 3, &["h1"]),
            (&["--host", "h2"], 2, &["h2"]),
        ] {
            let told = json(host, &[&["ps"], of].concat());
            assert_eq!(told["apps"][0]["calls"], n_calls, "{told}");
            assert_eq!(told["sources"]["hosts"], serde_json::json!(names));
            let told = json(host, &[&["show", "web"], of].concat());
            assert_eq!(told["calls"], n_calls, "{told}");
            let told = json(host, &[&["calls", "web"], of].concat());
            let calls = told["calls"].as_array().unwrap();
            assert_eq!((calls.len(), hosts(calls)), (n_calls, names.to_vec()));
            let times: Vec<&str> = calls.iter().map(|call| call["at"].as_str().unwrap()).collect();
            assert!(times.is_sorted(), "{times:?}");
            let told = host.run(&[&["events", "-o", "json"], of].concat()).done().json_lines();
            assert_eq!(hosts(&told), names, "{told:?}");
            let told = host
                .run(&[&["top", "--once", "--interval", "100ms", "-o", "json"], of].concat())
                .done()
                .json_lines();
            assert_eq!(told[0]["sources"]["hosts"], serde_json::json!(names), "{told:?}");
        }
        let shown = host.run(&["calls", "web"]).done().stdout;
        assert!(shown.lines().next().unwrap().ends_with("HOST"), "{shown}");
        assert!(host.run(&["show", "web"]).done().stdout.contains("on 2 hosts: 5, of which"));
        let shown = host.run(&["show", "web", "--host", "h2"]).done().stdout;
        assert!(shown.contains("on h2: 2, of which"), "{shown}");
        assert!(host.run(&["top", "--once"]).done().stdout.contains("  2 hosts, "));
    }
    // What hosts tell each other they tell no caller.
    let path = "/.well-known/steerage/fleet/api/v1/events";
    assert_eq!(fleet.first().get(path).await.cause(), "no_route");
    let said = fleet.first().run(&["events", "--host", "h9"]);
    assert!(
        said.code == 4 && said.stderr.contains("no host named h9; there are h2, h1"),
        "{said:?}"
    );
}

#[tokio::test]
async fn a_host_that_says_nothing_is_named_and_the_rest_is_told() {
    let Some(fleet) = called_fleet().await else { return };
    fleet.hosts[1].signal("STOP");
    let told = fleet
        .first()
        .until("silence of h2", || async {
            let told = fleet.first().admin("GET", "/v1/apps?host=*", "").await.json();
            let host = told["sources"]["unanswered"][0]["host"].as_str()?;
            (host == "h2").then_some(told.clone())
        })
        .await;
    assert_eq!(
        (&told["apps"][0]["calls"], &told["sources"]["hosts"][0]),
        (&3.into(), &"h1".into())
    );
    for words in [&["ps"][..], &["show", "web"], &["calls", "web"], &["logs", "web"], &["events"]] {
        let said = fleet.first().run(words).done();
        let missing = "h2 says nothing, and what it knows is missing: ";
        assert!(said.stderr.contains(missing), "{words:?}: {said:?}");
        let said = fleet.first().run(&[words, &["--host", "h2"]].concat());
        assert!(said.code == 1 && said.stderr.contains("h2 cannot be asked: "), "{said:?}");
    }
    let said = fleet.first().run(&["top", "--once", "--interval", "100ms"]).done();
    assert!(said.stdout.contains("h2 says nothing"), "{said:?}");
    fleet.hosts[1].signal("CONT");
}

/// Somebody who follows what a host tells, line by line.
struct Follower {
    chunks: BodyDataStream<Incoming>,
    text: String,
}

impl Follower {
    async fn of(host: &Host, path: &str) -> Self {
        let uri = format!("http://{}{path}", host.admin);
        let response = host.stream(Request::get(uri).body(Default::default()).unwrap()).await;
        let response = response.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        Self { chunks: response.into_body().into_data_stream(), text: String::new() }
    }

    /// Reads on until one of the lines is wanted.
    async fn until(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        let started_at = std::time::Instant::now();
        loop {
            assert!(started_at.elapsed() < PATIENCE, "it did not come: {}", self.text);
            let lines = self.text.lines().filter_map(|line| serde_json::from_str(line).ok());
            if let Some(found) = lines.into_iter().find(&wanted) {
                return found;
            }
            let chunk = tokio::time::timeout(PATIENCE, self.chunks.next()).await;
            let chunk = chunk.expect("a line in time").expect("the host goes on").unwrap();
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// How many lines have all these words.
    fn n_lines(&self, words: &[&str]) -> usize {
        let has_all = |line: &&str| words.iter().all(|word| line.contains(word));
        self.text.lines().filter(has_all).count()
    }
}

#[tokio::test]
async fn events_of_all_hosts_are_followed_and_of_one_also_when_it_comes_back() {
    let Some(fleet) = called_fleet().await else { return };
    let path = |host| format!("/v1/events?host={host}&follow=true&limit=1000");
    let mut all = Follower::of(fleet.first(), &path("*")).await;
    let mut one = Follower::of(fleet.first(), &path("h2")).await;
    for follower in [&mut all, &mut one] {
        follower.until(|event| event["kind"] == "placed" && event["host"] == "h2").await;
    }
    fleet.hosts[1].signal("STOP");
    for follower in [&mut all, &mut one] {
        let gone = follower.until(|event| event["kind"] == "not_followed").await;
        assert_eq!(gone["host"], "h2");
    }
    fleet.hosts[1].signal("CONT");
    let new = manifest("new", "/new/...", "[replicas]\nmin = 2\nmax = 2");
    fleet.hosts[1].deploy(&prints("\\nnew"), &new).await;
    for (follower, n_placed) in [(&mut all, 2), (&mut one, 1)] {
        let deployed = |event: &Value| event["kind"] == "deployed" && event["app"] == "new";
        assert_eq!(follower.until(deployed).await["host"], "h2");
        let told = follower.n_lines(&["placed", "\"web\""]);
        assert_eq!(told, n_placed, "told twice, or of others: {}", follower.text);
    }
}

#[tokio::test]
async fn lines_of_one_other_host_are_followed_also_when_it_comes_back() {
    let Some(fleet) = called_fleet().await else { return };
    let says = manifest("says", "/says/...", "[replicas]\nmin = 2\nmax = 2");
    fleet.first().deploy(&std::fs::read(guests::LOGGER).unwrap(), &says).await;
    fleet.ready_on("says", 2).await;
    let call = async || fleet.hosts[1].get("/says/?n=1").await.header("x-request-id").to_owned();
    let before = call().await;
    let path = "/v1/apps/says/logs?host=h2&follow=true&lines=100";
    let mut follower = Follower::of(fleet.first(), path).await;
    follower.until(|line| line["call"] == *before && line["stream"] == "stderr").await;
    fleet.hosts[1].signal("STOP");
    let silent = "h2 tells nothing";
    follower.until(|line| line["text"].as_str().is_some_and(|text| text.contains(silent))).await;
    fleet.hosts[1].signal("CONT");
    let after = call().await;
    follower.until(|line| line["call"] == *after && line["stream"] == "stderr").await;
    for (call, stream) in [(&before, "stdout"), (&before, "stderr"), (&after, "stdout")] {
        assert_eq!(follower.n_lines(&[call, stream]), 1, "{}", follower.text);
    }
}

#[tokio::test]
async fn a_host_that_ends_ends_what_follows_another_one_through_it() {
    let Some(fleet) = called_fleet().await else { return };
    let mut follower = Follower::of(fleet.first(), "/v1/events?host=h2&follow=true").await;
    follower.until(|event| event["kind"] == "placed").await;
    fleet.first().signal("TERM");
    let end =
        tokio::time::timeout(PATIENCE, async { while follower.chunks.next().await.is_some() {} });
    end.await.expect("it ends in time");
}
