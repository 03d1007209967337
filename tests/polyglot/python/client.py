"""Calls a server as its service config says, and nothing else.

client.py SERVICE_CONFIG ADDRESS: each line of the input is a call, `CASE KIND /package.Service/Method`,
and some are made at once, with an empty message, the metadata `case` and no deadline. Prints
`CASE CODE` for each, with the number of the code that it ended with.
"""

import sys
from concurrent.futures import ThreadPoolExecutor

import grpc

AT_ONCE = 4
PATIENCE = 30


def call(channel, case, kind, path):
    metadata = (("case", case),)
    try:
        if kind == "unary":
            channel.unary_unary(path)(b"", metadata=metadata)
        elif kind == "answers":
            list(channel.unary_stream(path)(b"", metadata=metadata))
        elif kind == "requests":
            channel.stream_unary(path)(iter([b""]), metadata=metadata)
        elif kind == "both":
            list(channel.stream_stream(path)(iter([b""]), metadata=metadata))
        else:
            raise ValueError(kind)
    except grpc.RpcError as error:
        return error.code().value[0]
    return 0


def main():
    config, address = sys.argv[1:]
    with open(config, encoding="utf-8") as file:
        options = [("grpc.service_config", file.read())]
    lines = [line.split() for line in sys.stdin]
    with grpc.insecure_channel(address, options) as channel, ThreadPoolExecutor(AT_ONCE) as pool:
        # So that a call's deadline is not spent on this program's own start.
        grpc.channel_ready_future(channel).result(PATIENCE)
        codes = pool.map(lambda line: call(channel, *line), lines)
        for (case, *_), code in zip(lines, codes):
            print(case, code)


main()
