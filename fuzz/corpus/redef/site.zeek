@load policy/frameworks/management/agent
@load ./local # again
module Foo;
export { redef Management::Agent::name = "a\x41\"b" + getenv("X") + gethostname(); }
redef Management::Agent::controller = [$address="1.2.3.4", $bound_port=21500/tcp];
redef Management::Request::timeout_interval = 1.5 min;
redef Management::Log::level = Management::Log::DEBUG;
redef Broker::ssl_passphrase = "x";
redef Broker::ssl_cafile = @DIR + "/ca.pem";
@if ( T )
@else
@endif
function f() { if ( /a"\/b/ in "x" ) { print 1; } else print 2; }
redef Management::Controller::tls_options_websocket = Cluster::WebSocketTLSOptions(
  $cert_file="c", $key_file=fmt("%s-%d", "k", 1),
);
