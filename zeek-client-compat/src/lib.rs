//! What the stock zeek-client connects to: Broker's JSON over WebSocket.
