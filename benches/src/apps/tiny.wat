;; The smallest service that answers: a `wasi:http` 0.2 component of two core modules and 128 KiB.
;;
;; It answers 200 with a header that holds its number, so that a thousand copies with other numbers
;; are a thousand components. If NANOSECONDS is more than 0 it touches 64 KiB and waits that long
;; before it answers.
(component
  (import "wasi:io/poll@0.2.0" (instance $poll
    (export "pollable" (type $pollable (sub resource)))
    (export "[method]pollable.block" (func (param "self" (borrow $pollable))))))
  (alias export $poll "pollable" (type $pollable))
  (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
    (alias outer 1 $pollable (type $outer-pollable))
    (export "pollable" (type $pollable (eq $outer-pollable)))
    (export "subscribe-duration" (func (param "when" u64) (result (own $pollable))))))
  (import "wasi:http/types@0.2.0" (instance $http
    (export "fields" (type $fields (sub resource)))
    (export "incoming-request" (type (sub resource)))
    (export "outgoing-response" (type $response (sub resource)))
    (export "response-outparam" (type $outparam (sub resource)))
    (type $header-error' (variant (case "invalid-syntax") (case "forbidden") (case "immutable")))
    (export "header-error" (type $header-error (eq $header-error')))
    (type $dns-error'
      (record (field "rcode" (option string)) (field "info-code" (option u16))))
    (export "DNS-error-payload" (type $dns-error (eq $dns-error')))
    (type $tls-alert'
      (record (field "alert-id" (option u8)) (field "alert-message" (option string))))
    (export "TLS-alert-received-payload" (type $tls-alert (eq $tls-alert')))
    (type $field-size'
      (record (field "field-name" (option string)) (field "field-size" (option u32))))
    (export "field-size-payload" (type $field-size (eq $field-size')))
    (type $error-code' (variant
      (case "DNS-timeout")
      (case "DNS-error" $dns-error)
      (case "destination-not-found")
      (case "destination-unavailable")
      (case "destination-IP-prohibited")
      (case "destination-IP-unroutable")
      (case "connection-refused")
      (case "connection-terminated")
      (case "connection-timeout")
      (case "connection-read-timeout")
      (case "connection-write-timeout")
      (case "connection-limit-reached")
      (case "TLS-protocol-error")
      (case "TLS-certificate-error")
      (case "TLS-alert-received" $tls-alert)
      (case "HTTP-request-denied")
      (case "HTTP-request-length-required")
      (case "HTTP-request-body-size" (option u64))
      (case "HTTP-request-method-invalid")
      (case "HTTP-request-URI-invalid")
      (case "HTTP-request-URI-too-long")
      (case "HTTP-request-header-section-size" (option u32))
      (case "HTTP-request-header-size" (option $field-size))
      (case "HTTP-request-trailer-section-size" (option u32))
      (case "HTTP-request-trailer-size" $field-size)
      (case "HTTP-response-incomplete")
      (case "HTTP-response-header-section-size" (option u32))
      (case "HTTP-response-header-size" $field-size)
      (case "HTTP-response-body-size" (option u64))
      (case "HTTP-response-trailer-section-size" (option u32))
      (case "HTTP-response-trailer-size" $field-size)
      (case "HTTP-response-transfer-coding" (option string))
      (case "HTTP-response-content-coding" (option string))
      (case "HTTP-response-timeout")
      (case "HTTP-upgrade-failed")
      (case "HTTP-protocol-error")
      (case "loop-detected")
      (case "configuration-error")
      (case "internal-error" (option string))))
    (export "error-code" (type $error-code (eq $error-code')))
    (export "[static]fields.from-list" (func
      (param "entries" (list (tuple string (list u8))))
      (result (result (own $fields) (error $header-error)))))
    (export "[constructor]outgoing-response" (func
      (param "headers" (own $fields)) (result (own $response))))
    (export "[static]response-outparam.set" (func
      (param "param" (own $outparam))
      (param "response" (result (own $response) (error $error-code)))))))
  (alias export $http "incoming-request" (type $request))
  (alias export $http "response-outparam" (type $outparam))

  ;; A module of its own, since what is lowered needs the memory before the code can be linked.
  (core module $Memory (memory (export "memory") 2))
  (core instance $memory (instantiate $Memory))
  (alias core export $memory "memory" (core memory $bytes))
  (core func $block (canon lower (func $poll "[method]pollable.block")))
  (core func $subscribe (canon lower (func $clock "subscribe-duration")))
  (core func $headers
    (canon lower (func $http "[static]fields.from-list") (memory $bytes)))
  (core func $response (canon lower (func $http "[constructor]outgoing-response")))
  (core func $set
    (canon lower (func $http "[static]response-outparam.set") (memory $bytes)))

  (core module $Code
    (import "host" "memory" (memory 2))
    (import "host" "block" (func $block (param i32)))
    (import "host" "subscribe" (func $subscribe (param i64) (result i32)))
    (import "host" "headers" (func $headers (param i32 i32 i32)))
    (import "host" "response" (func $response (param i32) (result i32)))
    (import "host" "set"
      (func $set (param i32 i32 i32 i32 i64 i32 i32 i32 i32)))
    ;; One header: its name is 3 bytes at 16, its value 11 bytes at 20.
    (data (i32.const 0) "\10\00\00\00\03\00\00\00\14\00\00\00\0b\00\00\00app\00app-0000000")
    (func (export "handle") (param $request i32) (param $out i32)
      (if (i64.gt_s (i64.const NANOSECONDS) (i64.const 0))
        (then
          (memory.fill (i32.const 0x10000) (i32.const 1) (i32.const 0x10000))
          (call $block (call $subscribe (i64.const NANOSECONDS)))))
      (call $headers (i32.const 0) (i32.const 1) (i32.const 32))
      (call $set (local.get $out)
        (i32.const 0) (call $response (i32.load (i32.const 36)))
        (i32.const 0) (i64.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))))
  (core instance $code (instantiate $Code (with "host" (instance
    (export "memory" (memory $bytes))
    (export "block" (func $block))
    (export "subscribe" (func $subscribe))
    (export "headers" (func $headers))
    (export "response" (func $response))
    (export "set" (func $set))))))
  (func $handle (param "request" (own $request)) (param "response-out" (own $outparam))
    (canon lift (core func $code "handle")))
  (instance (export "wasi:http/incoming-handler@0.2.0")
    (export "handle" (func $handle))))
