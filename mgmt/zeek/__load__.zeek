##! The node side of zeek-mgmt's API, for versions of Zeek that do not bring it
##! along. The agent has its nodes load this in the place of the stock script
##! policy/frameworks/management/node.

@load ./settings
@load ./node
