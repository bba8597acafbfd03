redef Management::Agent::name = "a
redef Management::Agent::listen_port = 70000/tcp;
redef Management::x = {[(;
@ifdef ( x
@load ./missing
event e() { } } "
