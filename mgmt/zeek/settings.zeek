##! The settings of the Management framework (mgmt/API.md, section 8.2).
##!
##! A node needs few of them. All are declared, because "zeek-mgmt run" hands
##! every NAME=VALUE argument on to the nodes, and Zeek does not start with one
##! it does not know.

@load base/frameworks/broker
@load base/frameworks/cluster

@ifndef ( Management::Agent::listen_port )

module Management;

export {
	## What a process is to the framework.
	type Role: enum { NONE, AGENT, CONTROLLER, NODE };

	## What this process is.
	const role = Management::NODE &redef;

	## Where everything listens that has no address of its own.
	const default_address = "0.0.0.0" &redef;

	## Between attempts to reach a peer.
	const connect_retry = 1sec &redef;

	const spool_dir = getenv("ZEEK_MANAGEMENT_SPOOL_DIR") &redef;
	const state_dir = getenv("ZEEK_MANAGEMENT_STATE_DIR") &redef;
}

module Management::Log;

export {
	type Level: enum { DEBUG = 10, INFO = 20, WARNING = 30, ERROR = 40 };

	global level = Management::Log::INFO &redef;
}

module Management::Request;

export {
	const timeout_interval = 10sec &redef;
}

module Management::Supervisor;

export {
	const topic_prefix = "zeek/management/supervisor" &redef;
	const print_stdout = F &redef;
	const print_stderr = F &redef;
	const output_max_lines: count = 100 &redef;
}

module Management::Controller;

export {
	const name = getenv("ZEEK_CONTROLLER_NAME") &redef;
	const stdout_file = "stdout" &redef;
	const stderr_file = "stderr" &redef;
	const listen_address = getenv("ZEEK_CONTROLLER_ADDR") &redef;
	const listen_port = getenv("ZEEK_CONTROLLER_PORT") &redef;
	const listen_address_websocket = getenv("ZEEK_CONTROLLER_WEBSOCKET_ADDR") &redef;
	const listen_port_websocket = getenv("ZEEK_CONTROLLER_WEBSOCKET_PORT") &redef;
	const default_port = 2150/tcp &redef;
	const default_port_websocket = 2149/tcp &redef;
	const topic = "zeek/management/controller" &redef;
	const directory = "" &redef;
	const auto_assign_broker_ports = T &redef;
	const auto_assign_broker_start_port = 2200/tcp &redef;
	const auto_assign_metrics_ports = T &redef;
	const auto_assign_metrics_start_port = 9000/tcp &redef;

@ifdef ( Cluster::WebSocketTLSOptions )
	const tls_options_websocket = Cluster::WebSocketTLSOptions() &redef;
@endif
}

module Management::Agent;

export {
	const name = getenv("ZEEK_AGENT_NAME") &redef;
	const stdout_file = "stdout" &redef;
	const stderr_file = "stderr" &redef;

	## Where the agent is: empty means Management::default_address.
	const listen_address = getenv("ZEEK_AGENT_ADDR") &redef;

	## At which port, such as 2151/tcp: empty means default_port.
	const listen_port = getenv("ZEEK_AGENT_PORT") &redef;

	const default_port = 2151/tcp &redef;
	const topic_prefix = "zeek/management/agent" &redef;
	const directory = "" &redef;
	const controller = Broker::NetworkInfo($address="127.0.0.1",
	    $bound_port=2150/tcp) &redef;
	const archive_logs = T &redef;
	const archive_interval = 0sec &redef;
	const archive_cmd = "" &redef;
	const archive_dir = "" &redef;
}

module Management::Node;

export {
	## All nodes of an agent, and the agent, share this topic.
	const node_topic = "zeek/management/node" &redef;

	const stdout_file = "stdout" &redef;
	const stderr_file = "stderr" &redef;
}

@endif
