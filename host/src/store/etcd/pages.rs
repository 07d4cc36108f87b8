//! Everything below a prefix, read page by page at one revision; or whether there is anything. For each page etcd
//! counts all keys from there to the end of the prefix, so with pages of one size its work grows with the square of the number
//! of keys: of 100,000 keys a page of 1,000 took 26 ms of its processor for that alone. Pages grow.
//! Does not know what is read.

use std::time::Duration;

use etcd_client::{GetOptions, ResponseHeader};

use super::super::{Seen, StoreError};
use super::{Etcd, MOST_ANSWER, after_all, revision, signed};

/// Entries of a first page, of whose values nothing is known, and of any page at least.
const FIRST: usize = 1_000;
/// Entries of a page at most.
const MOST: usize = 16_000;
/// Bytes of keys and values that a page shall have at most, if the next values are as large as the last.
const BYTES: usize = 4 << 20;
/// How often a page is asked for again, and after which pause.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(500);

impl Etcd {
    /// Whether there is any key below a prefix, be it one that is no text.
    pub(in super::super) async fn has_any(&self, prefix: &str) -> Result<bool, StoreError> {
        let start = self.whole(prefix);
        let options =
            GetOptions::new().with_range(after_all(&start)).with_limit(1).with_keys_only();
        let asked = self.ask(|client| {
            let (start, options) = (start.clone(), options.clone());
            async move { client.kv_client().get(start, Some(options)).await }
        });
        Ok(!asked.await?.kvs().is_empty())
    }

    /// Everything below a prefix.
    pub(in super::super) async fn read(&self, prefix: &str) -> Result<Seen, StoreError> {
        let start = self.whole(prefix);
        let end = after_all(&start);
        let mut seen: Option<Seen> = None;
        let mut from = start.into_bytes();
        let (mut limit, mut n_tries) = (FIRST, 0);
        loop {
            let asked_for = i64::try_from(limit).unwrap_or(i64::MAX);
            let mut options = GetOptions::new().with_range(end.clone()).with_limit(asked_for);
            if let Some(seen) = &seen {
                options = options.with_revision(signed(seen.revision.0));
            }
            let page = self.ask(|client| {
                let (from, options) = (from.clone(), options.clone());
                let mut kv = client.kv_client().max_decoding_message_size(MOST_ANSWER);
                async move { kv.get(from, Some(options)).await }
            });
            let page = match page.await {
                Ok(page) => page,
                // Where it went on: beginning anew each time, many hosts that read at once would keep
                // a store that is slow as slow as it is. A small page may come where a large one does not,
                // be it that the store is slow or that what comes next is much larger than the last.
                Err(StoreError::Away { .. }) if seen.is_some() && n_tries < TRIES => {
                    (limit, n_tries) = (FIRST, n_tries + 1);
                    tokio::time::sleep(PAUSE.mul_f64(0.5 + fastrand::f64())).await;
                    continue;
                }
                Err(error) => return Err(error),
            };
            n_tries = 0;
            let revision = revision(page.header());
            let cluster = page.header().map_or(0, ResponseHeader::cluster_id);
            let seen_now =
                seen.get_or_insert_with(|| Seen { revision, cluster, ..Seen::default() });
            let mut n_bytes = 0;
            for kv in page.kvs() {
                n_bytes += kv.key().len() + kv.value().len();
                match self.entry(kv) {
                    Some(entry) => seen_now.entries.push(entry),
                    None => seen_now.strange.push(kv.key().escape_ascii().to_string()),
                }
            }
            if !page.more() {
                return Ok(seen.unwrap_or_default());
            }
            if let Some(last) = page.kvs().last() {
                from = last.key().to_vec();
                from.push(0);
            }
            limit = next_page(limit, page.kvs().len(), n_bytes);
        }
    }
}

/// How many entries to ask for after a page of so many, which had so many bytes: no more than twice as many,
/// since what comes next may be larger.
fn next_page(limit: usize, n_entries: usize, n_bytes: usize) -> usize {
    let bytes_each = n_bytes.div_ceil(n_entries.max(1)).max(1);
    (limit * 2).min(BYTES / bytes_each).clamp(FIRST, MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many pages so many entries of a size are read in, and how many keys etcd counts for that.
    fn pages(n_entries: usize, bytes_each: usize) -> (usize, usize) {
        let (mut left, mut limit, mut n_pages, mut n_counted) = (n_entries, FIRST, 0, 0);
        while left > 0 {
            let n_read = limit.min(left);
            (n_pages, n_counted) = (n_pages + 1, n_counted + left);
            left -= n_read;
            limit = next_page(limit, n_read, n_read * bytes_each);
        }
        (n_pages, n_counted)
    }

    #[test]
    fn many_small_entries_are_read_in_few_pages_that_etcd_hardly_counts() {
        // 100 pages and 5,050,000 keys counted with pages of 1,000.
        let (n_pages, n_counted) = pages(100_000, 170);
        assert!(n_pages <= 10 && n_counted <= 700_000, "{n_pages} pages, {n_counted} counted");
    }

    #[test]
    fn pages_of_large_values_stay_small() {
        assert_eq!(next_page(FIRST, FIRST, FIRST * 200_000), FIRST);
        assert_eq!(next_page(8_000, 8_000, 8_000 * 2_000), BYTES / 2_000);
        // What is small now says little of what comes.
        assert_eq!(next_page(4_000, 4_000, 4_000), 8_000);
        assert_eq!(next_page(MOST, MOST, 0), MOST);
        assert_eq!(next_page(FIRST, 0, 0), 2 * FIRST);
    }
}
