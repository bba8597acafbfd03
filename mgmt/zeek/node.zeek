##! A cluster node that its agent can talk to (mgmt/API.md, sections 2.3 and 6):
##! it peers with the agent, says hello, and answers what it is asked.

@load base/frameworks/broker
@load base/frameworks/cluster
@load base/frameworks/logging

@load ./settings

# Rotated logs go where the agent has them archived from.
@if ( getenv("ZEEK_MGMT_LOG_QUEUE") != "" )
redef Log::default_rotation_dir = getenv("ZEEK_MGMT_LOG_QUEUE");
@endif

@if ( getenv("ZEEK_MANAGEMENT_TESTING") != "" )
redef Log::default_rotation_interval = 0secs;
@endif

# From Zeek 8.1 on a cluster needs a backend that somebody has chosen. The
# agent's nodes are laid out for Broker.
@ifdef ( Cluster::CLUSTER_BACKEND_NONE )
@if ( Cluster::backend == Cluster::CLUSTER_BACKEND_NONE )
@load policy/frameworks/cluster/backend/broker
@endif
@endif

@ifndef ( Management::Result )

module Management;

export {
	## How a request went. Records travel by position, so this is the order of
	## the API's (section 1.4).
	type Result: record {
		## The id the node was asked with.
		reqid: string;
		## Whether it went well.
		success: bool &default=T;
		## The agent fills this in.
		instance: string &optional;
		## What was asked for; its type depends on the request.
		data: any &optional;
		## What went wrong.
		error: string &optional;
		## The node.
		node: string &optional;
	};
}

@endif

@ifndef ( Management::Node::API::notify_node_hello )

module Management::Node::API;

export {
	## Agent to nodes: do something.
	##
	## reqid: comes back in the answer.
	##
	## action: the command, and its arguments.
	##
	## nodes: who is meant; all, if it is empty.
	global node_dispatch_request: event(reqid: string, action: vector of string,
	    nodes: set[string]);

	## Node to agent: how that went.
	global node_dispatch_response: event(reqid: string, result: Management::Result);

	## Node to agent: here I am.
	##
	## node: its name in the cluster.
	global notify_node_hello: event(node: string);
}

@endif

module Management::Node;

# Where the agent is, as Broker will name it when it is there.
function agent_address(): string
	{
	if ( Management::Agent::listen_address != "" )
		return Management::Agent::listen_address;

	if ( Management::default_address != "" )
		return Management::default_address;

	return "0.0.0.0";
	}

function agent_port(): port
	{
	if ( Management::Agent::listen_port != "" )
		return to_port(Management::Agent::listen_port);

	return Management::Agent::default_port;
	}

function fail(result: Management::Result, error: string)
	{
	result$success = F;
	result$error = error;
	}

# lookup_ID() says in a text that there is nothing to look up. A global may hold
# just that text, which only the table of all globals can tell.
function is_text(value: any, text: string): bool
	{
	return type_name(value) == "string" && cat(value) == text;
	}

function get_id_value(action: vector of string, result: Management::Result)
	{
	if ( |action| < 2 )
		{
		fail(result, "get_id_value expects name of global identifier");
		return;
		}

	local id = action[1];
	local value = lookup_ID(id);

	if ( is_text(value, "<unknown id>") && id !in global_ids() )
		{
		fail(result, "unknown id");
		return;
		}

	if ( is_text(value, "<no ID value>") )
		{
		local ids = global_ids();

		if ( id !in ids || ! ids[id]?$value )
			{
			fail(result, "no ID value");
			return;
			}
		}

	result$data = to_json(value);
	}

event Management::Node::API::node_dispatch_request(reqid: string,
    action: vector of string, nodes: set[string])
	{
	if ( |nodes| > 0 && Cluster::node !in nodes )
		return;

	local result = Management::Result($reqid=reqid, $node=Cluster::node);

	if ( |action| == 0 )
		fail(result, "no dispatch arguments provided");
	else if ( action[0] == "get_id_value" )
		get_id_value(action, result);
	else
		fail(result, fmt("dispatch %s unknown", action[0]));

	Broker::publish(node_topic, Management::Node::API::node_dispatch_response,
	    reqid, result);
	}

function make_directory(path: string)
	{
	if ( path != "" && ! mkdir(path) )
		Reporter::warning(fmt("cannot create directory '%s'", path));
	}

# Also after the agent was away: it may not know this node any more.
event Broker::peer_added(endpoint: Broker::EndpointInfo, msg: string)
	{
	if ( ! endpoint?$network )
		return;

	if ( endpoint$network$address != agent_address() ||
	     endpoint$network$bound_port != agent_port() )
		return;

	Broker::publish(node_topic, Management::Node::API::notify_node_hello,
	    Cluster::node);
	}

event zeek_init()
	{
	# Stores want their directories to be there.
	make_directory(Broker::table_store_db_directory);
	make_directory(Cluster::default_store_dir);

	Broker::subscribe(node_topic);
	Broker::peer(agent_address(), agent_port(), Management::connect_retry);
	}
