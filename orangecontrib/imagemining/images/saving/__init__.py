"""Save many images: plan which file each becomes, then write, and lose nothing."""
