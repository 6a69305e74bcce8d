//! The configuration of a local ClickHouse, for a machine of two cores and 4 GiB that also runs everything else.

/// What the server executes: it listens, then blocks until the last writer of the pipe closes it.
pub(super) fn statements(pipe: &str) -> String {
    let quoted = pipe.replace('\\', "\\\\").replace('\'', "\\'");
    format!("SYSTEM START LISTEN HTTP; SELECT count() FROM file('{quoted}', 'LineAsString') FORMAT Null")
}

/// The whole config.xml. `folder` holds the other files; `instance` tells this server from any other.
pub(super) fn configuration(folder: &str, instance: &str) -> String {
    let folder = escape(folder);
    // The logs about itself cost more on two cores than the work of a small installation.
    let own_logs: String = OWN_LOGS.iter().map(|name| format!("  <{name} remove=\"1\"/>\n")).collect();
    format!(
        r#"<clickhouse>
  <log-level>warning</log-level>
  <logger>
    <level>warning</level><log>{folder}/server.log</log><errorlog>{folder}/error.log</errorlog>
    <size>10M</size><count>2</count>
  </logger>
  <users_config>{folder}/users.xml</users_config>
  <macros><instance>{instance}</instance></macros>
  <http_receive_timeout>{HTTP_RECEIVE_TIMEOUT_SECONDS}</http_receive_timeout>
  <max_server_memory_usage_to_ram_ratio>0.5</max_server_memory_usage_to_ram_ratio>
  <mark_cache_size>134217728</mark_cache_size>
  <uncompressed_cache_size>0</uncompressed_cache_size>
  <background_pool_size>4</background_pool_size>
  <background_merges_mutations_concurrency_ratio>2</background_merges_mutations_concurrency_ratio>
  <background_schedule_pool_size>8</background_schedule_pool_size>
  <background_common_pool_size>2</background_common_pool_size>
  <background_fetches_pool_size>1</background_fetches_pool_size>
  <background_move_pool_size>1</background_move_pool_size>
  <mlock_executable>false</mlock_executable>
{own_logs}</clickhouse>
"#
    )
}

/// The whole users.xml: one user, from this machine.
pub(super) fn users() -> String {
    format!(
        r"<clickhouse>
  <profiles>
    <default>
      <async_insert>0</async_insert>
      <http_receive_timeout>{HTTP_RECEIVE_TIMEOUT_SECONDS}</http_receive_timeout>
    </default>
  </profiles>
  <users>
    <default>
      <password></password>
      <networks><ip>127.0.0.1</ip></networks>
      <profile>default</profile>
      <quota>default</quota>
      <access_management>1</access_management>
      <named_collection_control>1</named_collection_control>
    </default>
  </users>
  <quotas><default></default></quotas>
</clickhouse>
"
    )
}

/// An insert that hangs in mid-body can be killed only after this time, and a new owner of its partition waits for that.
const HTTP_RECEIVE_TIMEOUT_SECONDS: u32 = 5;

const OWN_LOGS: [&str; 18] = [
    "query_log",
    "query_thread_log",
    "query_views_log",
    "query_metric_log",
    "part_log",
    "trace_log",
    "text_log",
    "metric_log",
    "transposed_metric_log",
    "latency_log",
    "error_log",
    "asynchronous_metric_log",
    "asynchronous_insert_log",
    "opentelemetry_span_log",
    "processors_profile_log",
    "background_schedule_pool_log",
    "blob_storage_log",
    "crash_log",
];

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_special_characters_stays_one_path() {
        assert!(configuration("/a&b<c", "x").contains("<log>/a&amp;b&lt;c/server.log</log>"));
        assert!(statements(r"/it's\here").contains(r"file('/it\'s\\here', 'LineAsString')"));
    }

    #[test]
    fn inserts_are_synchronous_and_a_stalled_body_is_given_up_soon() {
        assert!(users().contains("<async_insert>0</async_insert>"));
        assert!(users().contains("<http_receive_timeout>5</http_receive_timeout>"));
        assert!(configuration("/a", "x").contains("<http_receive_timeout>5</http_receive_timeout>"));
    }
}
