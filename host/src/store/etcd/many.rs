//! Many keys in one question to etcd: a transaction that only looks. etcd answers it as a look at one key:
//! nothing is written into its log.
//! Does not bound how many: whoever asks does.

use etcd_client::{Txn, TxnOp};

use super::super::{Entry, StoreError};
use super::{Etcd, MOST_ANSWER, gets};

impl Etcd {
    /// What is under each of these keys, in their order and at one moment.
    pub(in super::super) async fn get_each(
        &self,
        keys: &[String],
    ) -> Result<Vec<Option<Entry>>, StoreError> {
        let asked = self.ask(|client| {
            let looks = keys.iter().map(|key| TxnOp::get(self.whole(key), None));
            let transaction = Txn::new().and_then(looks.collect::<Vec<_>>());
            let mut kv = client.kv_client().max_decoding_message_size(MOST_ANSWER);
            async move { kv.txn(transaction).await }
        });
        let answer = asked.await?;
        let found: Vec<_> =
            gets(&answer).map(|kv| kv.as_ref().and_then(|kv| self.entry(kv))).collect();
        if found.len() != keys.len() {
            let what = format!("of {} keys it told {}", keys.len(), found.len());
            return Err(StoreError::Damaged { what });
        }
        Ok(found)
    }
}
