"""What the hardware tests are made of: drivers for labgrid, the box as tests see it, and the centre that it belongs to."""
