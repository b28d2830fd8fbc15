"""What a calling backend serves. Its modules are made from protos/cabrank/platform/v1 by protos/generate.py."""
