"""Files of compressed networks, as small as their entropy lets them be.

`container` is the file, `rans` codes its symbols, `tables` tells how frequent they are.
"""
