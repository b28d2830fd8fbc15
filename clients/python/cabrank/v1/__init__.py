"""The contract of callers. Its modules are made from protos/cabrank/v1 by protos/generate.py."""
